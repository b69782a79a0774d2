-- Looks up the requests that indexes point to. KEYS: 1 head of the ledger, 2 grants by digest, then index entries. Returns the time in ms, the head, the newest
-- 20 ids that stand under the digest, then the id, or '' for none, of each index entry.
local t = redis.call('TIME')
local out = {t[1] * 1000 + math.floor(t[2] / 1000)}
local head = redis.pcall('GET', KEYS[1])
if type(head) ~= 'string' then head = '' end
out[2] = head
local grants = redis.pcall('ZREVRANGE', KEYS[2], 0, 19)
if grants.err then grants = {} end
out[3] = grants
for i = 3, #KEYS do
  local id = redis.pcall('GET', KEYS[i])
  if type(id) ~= 'string' then id = '' end
  out[i + 1] = id
end
return out
