-- POST /orders. Arguments: the first and the last product, and what chance begins with.
dofile("report.lua")
dofile("orders.lua")

local requests, at = {}, 0

function init(args)
  requests = order_requests(tonumber(args[1]), tonumber(args[2]), tonumber(args[3]))
end

function request()
  at = at % #requests + 1
  return requests[at]
end
