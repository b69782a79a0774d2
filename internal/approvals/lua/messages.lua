-- Reads messages of the ledger. KEYS: 1 ledger. ARGV: 1 most bytes of one, then their numbers. Returns each, or false where there is none of that size;
-- 'wrong' where something else is in the place of the ledger.
local out = {}
for i = 2, #ARGV do
  local size = redis.pcall('HSTRLEN', KEYS[1], ARGV[i])
  if type(size) ~= 'number' then return 'wrong' end
  out[i - 1] = size <= tonumber(ARGV[1]) and redis.call('HGET', KEYS[1], ARGV[i])
end
return out
