-- Reads requests. KEYS: 1 head of the ledger, then their hashes. Returns the time in ms, the head, then [state, version, sealed] of each; false where there is none.
local t = redis.call('TIME')
local out = {t[1] * 1000 + math.floor(t[2] / 1000)}
out[2] = text(KEYS[1], 100)
for i = 2, #KEYS do
  local size = redis.pcall('HSTRLEN', KEYS[i], 'sealed')
  local fields
  if type(size) == 'number' and size <= 16777216 then fields = redis.pcall('HMGET', KEYS[i], 'state', 'version', 'sealed') end
  -- A foreign value under the key hides this request, not the others.
  if not fields or fields.err then fields = {false, false, false} end
  if fields[1] and #fields[1] > 100 then fields[1] = '' end
  if fields[2] and #fields[2] > 100 then fields[2] = '' end
  out[i + 1] = fields
end
return out
