-- Looks up the requests that indexes point to. KEYS: 1 epoch, 2 grants by digest, then index entries. Returns the time in ms, the epoch, the newest
-- 20 ids that stand under the digest, then the id, or '' for none, of each index entry.
local t = redis.call('TIME')
local out = {t[1] * 1000 + math.floor(t[2] / 1000)}
out[2] = redis.call('GET', KEYS[1]) or '0'
local grants = redis.pcall('ZREVRANGE', KEYS[2], 0, 19)
if grants.err then grants = {} end
out[3] = grants
for i = 3, #KEYS do
  local id = redis.pcall('GET', KEYS[i])
  if type(id) ~= 'string' then id = '' end
  out[i + 1] = id
end
return out
