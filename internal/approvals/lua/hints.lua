-- Begins every script. An index or a list of messages is a hint: what stands in its place, put there by whoever writes Redis, is taken away, so that it denies nothing.
local function hint(key, kind)
  local t = redis.call('TYPE', key)
  if type(t) == 'table' then t = t['ok'] end
  if t ~= 'none' and t ~= kind then redis.call('DEL', key) end
end
-- What the gateway writes under a key is a text of at most so many bytes; anything else is no text.
local function text(key, most)
  local t = redis.call('TYPE', key)
  if type(t) == 'table' then t = t['ok'] end
  if t ~= 'string' or redis.call('STRLEN', key) > most then return '' end
  return redis.call('GET', key)
end

