-- Reads requests. KEYS: their hashes. Returns the time in ms, then [state, version, sealed] of each; false where there is none.
local t = redis.call('TIME')
local out = {t[1] * 1000 + math.floor(t[2] / 1000)}
for i, key in ipairs(KEYS) do
  local fields = redis.pcall('HMGET', key, 'state', 'version', 'sealed')
  if fields.err then fields = {false, false, false} end -- a foreign value under the key hides this request, not the others
  out[i + 1] = fields
end
return out
