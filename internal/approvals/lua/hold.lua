-- Creates a request.
-- KEYS: 1 its hash, 2 history of the grant key, 3 grants by digest, 4 head of the ledger, 5 ledger, 6 outbox, 7… index entries
-- ARGV: 1 id, 2 state, 3 version, 4 sealed, 5 garbage ms, 6 channel, 7 cap of the history, 8 '1' to list it by its digest,
--       9 head before, 10 head after, 11 number, 12 message of the ledger, 13 and 14 drop messages from … to below …,
--       15 number of messages of the outbox, then these, then what each index entry held when it was looked up, '' for nothing
-- Returns 'ok', 'moved' (an index entry changed meanwhile) or 'behind' (the writer has not read all of the ledger).
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local messages = tonumber(ARGV[15])
local taken = 15 + messages

for i = 7, #KEYS do
  if text(KEYS[i], 100) ~= ARGV[taken + i - 6] then return 'moved' end
end
if redis.call('EXISTS', KEYS[1]) == 1 then return 'moved' end
if text(KEYS[4], 100) ~= ARGV[9] then return 'behind' end
if ARGV[9] == '' then hint(KEYS[5], 'hash') end -- a ledger that nobody has begun
hint(KEYS[2], 'zset')
hint(KEYS[3], 'zset')
hint(KEYS[6], 'zset')

-- An index lives as long as the longest-lived request in it.
local function keep(key)
  local left = redis.call('PTTL', key)
  if left < 0 or now + left < tonumber(ARGV[5]) then redis.call('PEXPIREAT', key, ARGV[5]) end
end

-- First, so that nothing is made of which no message tells.
redis.call('HSET', KEYS[5], ARGV[11], ARGV[12])
redis.call('SET', KEYS[4], ARGV[10])
for n = tonumber(ARGV[13]), tonumber(ARGV[14]) - 1 do redis.call('HDEL', KEYS[5], string.format('%.0f', n)) end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'version', ARGV[3], 'sealed', ARGV[4])
redis.call('PEXPIREAT', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -1 - tonumber(ARGV[7]))
keep(KEYS[2])
if ARGV[8] == '1' then
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  keep(KEYS[3])
end
for i = 7, #KEYS do
  redis.call('SET', KEYS[i], ARGV[1])
  redis.call('PEXPIREAT', KEYS[i], ARGV[5])
end
for i = 1, messages do redis.call('ZADD', KEYS[6], now, ARGV[15 + i]) end
redis.call('PUBLISH', ARGV[6], ARGV[1]) -- a hint: who hears it reads
return 'ok'
