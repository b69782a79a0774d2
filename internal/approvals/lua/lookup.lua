-- Looks up the requests that indexes point to. KEYS: index entries. Returns the time in ms, then the id, or '' for none, of each.
local t = redis.call('TIME')
local out = {t[1] * 1000 + math.floor(t[2] / 1000)}
for i, key in ipairs(KEYS) do
  local id = redis.pcall('GET', key)
  if type(id) ~= 'string' then id = '' end
  out[i + 1] = id
end
return out
