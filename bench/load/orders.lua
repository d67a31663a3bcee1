-- Bodies of orders: one to three products, each at most once, of those from `first` to `last`.

-- The headers of the command line, such as a key, and those of one kind of request.
function with_headers(own)
  for name, value in pairs(wrk.headers) do own[name] = value end
  return own
end

function order_requests(first, last, seed)
  math.randomseed(seed)
  local requests = {}
  for _ = 1, 2000 do
    local items, taken = {}, {}
    for _ = 1, math.min(math.random(1, 3), last - first + 1) do
      local product = math.random(first, last)
      while taken[product] do product = math.random(first, last) end
      taken[product] = true
      items[#items + 1] = string.format('{"product_id":%d,"quantity":%d}', product, math.random(1, 3))
    end
    local body = string.format('{"user_id":%d,"items":[%s]}', math.random(1, 100000), table.concat(items, ","))
    requests[#requests + 1] = wrk.format("POST", "/orders", with_headers({["Content-Type"] = "application/json"}), body)
  end
  return requests
end
