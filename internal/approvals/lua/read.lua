-- Reads requests. KEYS: 1 head of the ledger, then their hashes. Returns the time in ms, the head, then [state, version, sealed] of each; false where there is none.
local t = redis.call('TIME')
local out = {t[1] * 1000 + math.floor(t[2] / 1000)}
local head = redis.pcall('GET', KEYS[1])
if type(head) ~= 'string' then head = '' end
out[2] = head
for i = 2, #KEYS do
  local fields = redis.pcall('HMGET', KEYS[i], 'state', 'version', 'sealed')
  if fields.err then fields = {false, false, false} end -- a foreign value under the key hides this request, not the others
  out[i + 1] = fields
end
return out
