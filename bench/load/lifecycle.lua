-- POST /orders, and POST .../pay of each order that was answered. Arguments as those of place.lua.
dofile("report.lua")
dofile("orders.lua")

local requests, at = {}, 0
-- The orders that wait to be paid for, in the order of their answers.
local unpaid, first, last = {}, 1, 0

counted = {placed = 0, payments_requested = 0}

function init(args)
  requests = order_requests(tonumber(args[1]), tonumber(args[2]), tonumber(args[3]))
end

function request()
  if first <= last then
    local id = unpaid[first]
    unpaid[first] = nil
    first = first + 1
    return wrk.format("POST", "/orders/" .. id .. "/pay", with_headers({["Content-Length"] = "0"}))
  end
  at = at % #requests + 1
  return requests[at]
end

function response(status, headers, body)
  if status == 201 then
    counted.placed = counted.placed + 1
    last = last + 1
    unpaid[last] = string.match(body, '"order_id":"([%x-]+)"')
  elseif status == 202 or status == 200 then
    counted.payments_requested = counted.payments_requested + 1
  end
end
