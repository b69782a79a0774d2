-- Looks up the requests that indexes point to. KEYS: 1 head of the ledger, 2 grants by digest, then index entries. Returns the time in ms, the head, the newest
-- 20 ids that stand under the digest, then the id, or '' for none, of each index entry.
local t = redis.call('TIME')
local out = {t[1] * 1000 + math.floor(t[2] / 1000)}
out[2] = text(KEYS[1], 100)
local grants = redis.pcall('ZREVRANGE', KEYS[2], 0, 19)
if grants.err then grants = {} end
for i, id in ipairs(grants) do
  if #id > 100 then grants[i] = '' end
end
out[3] = grants
for i = 3, #KEYS do out[i + 1] = text(KEYS[i], 100) end
return out
