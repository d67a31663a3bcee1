-- What each script tells at its end, as one line of JSON behind the word REPORT.

-- Requests that a script counts by itself: what they were, and how many were answered as they should be.
counted = {}

-- Each thread of wrk has globals of its own, and `done` runs in none of them.
local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

-- The shares of the latencies, finer towards the end. wrk's own histogram can't be read faster.
local function shares()
  local found = {}
  for i = 1, 98 do found[#found + 1] = i end
  for i = 0, 8 do found[#found + 1] = 99 + i / 10 end
  for i = 0, 9 do found[#found + 1] = 99.9 + i / 100 end
  found[#found + 1] = 100
  return found
end

function done(summary, latency, requests)
  local latencies, counts = {}, {}
  for _, share in ipairs(shares()) do
    latencies[#latencies + 1] = string.format("[%g,%d]", share, latency:percentile(share))
  end
  local sums = {}
  for _, thread in ipairs(threads) do
    for name, count in pairs(thread:get("counted")) do sums[name] = (sums[name] or 0) + count end
  end
  for name, count in pairs(sums) do
    counts[#counts + 1] = string.format('"%s":%d', name, count)
  end
  local errors = summary.errors
  io.write(string.format(
    'REPORT {"requests":%d,"microseconds":%d,"refused":%d,"broken":%d,"late":%d,"latencies":[%s],"counted":{%s}}\n',
    summary.requests, summary.duration, errors.status, errors.connect + errors.read + errors.write, errors.timeout,
    table.concat(latencies, ","), table.concat(counts, ",")
  ))
end
