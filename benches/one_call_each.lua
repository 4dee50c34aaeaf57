-- For wrk: one ingress call per indicator, each a batch with a key of its own. Arguments: the indicators as JSON Lines,
-- the taxonomy's digest, and a word that makes the keys fresh.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  rows = {}
  for line in io.lines(args[1]) do
    rows[#rows + 1] = line
  end
  head = '{"options":{"provider":"rules","taxonomy":"' .. args[2] .. '","nonce":"' .. args[3] .. '"},"indicators":['
  key = wrk.path .. "/" .. args[3] .. "." .. number .. "."
  count = 0
end

function request()
  count = count + 1
  local headers = { ["content-type"] = "application/json" }
  return wrk.format("POST", key .. count .. "/run", headers, head .. rows[(count - 1) % #rows + 1] .. "]}")
end
