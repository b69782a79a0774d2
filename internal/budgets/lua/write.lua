-- Writes counters of one replica and its beat, if everything is as the writer knows it.
-- KEYS: the beats, the own part, the parts of the others that are compared.
-- ARGV: own id, own beat as it was, as it will be, ids of all beats ("*": not compared), seconds
--       that the part is kept, number of slots; the slots; their new texts; then, for each part in
--       the order of KEYS, the texts of the slots as they are known ("" for none).
-- Returns {1}, or {0, ids, own beat, texts…} as they are.
local n = tonumber(ARGV[6])
local ids = redis.call('HKEYS', KEYS[1])
table.sort(ids)
local names = table.concat(ids, ' ')
local beat = redis.call('HGET', KEYS[1], ARGV[1]) or ''
local same = beat == ARGV[2] and (ARGV[4] == '*' or ARGV[4] == names)
local shown = {0, names, beat}
local at = 6 + 2 * n
for k = 2, #KEYS do
  for i = 1, n do
    local text = redis.call('HGET', KEYS[k], ARGV[6 + i]) or ''
    at = at + 1
    if text ~= ARGV[at] then same = false end
    shown[#shown + 1] = text
  end
end
if not same then return shown end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
for i = 1, n do
  redis.call('HSET', KEYS[2], ARGV[6 + i], ARGV[6 + n + i])
end
if n > 0 then redis.call('EXPIRE', KEYS[2], ARGV[5]) end
redis.call('EXPIRE', KEYS[1], ARGV[5])
return {1}
