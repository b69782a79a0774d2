-- Creates a request.
-- KEYS: 1 its hash, 2 pending, 3 pending of the owner, 4 all, 5 sizes, 6 history of the grant key, 7 grants by digest, 8 head of the ledger, 9 ledger, 10 outbox,
--       11… index entries
-- ARGV: 1 id, 2 state, 3 version, 4 sealed, 5 expires ms, 6 garbage ms, 7 size, 8 cap of the owner, 9 cap of all pending, 10 cap of all bytes, 11 channel,
--       12 cap of the history, 13 '1' to list it by its digest,
--       14 head before, 15 head after, 16 number, 17 message of the ledger, 18 and 19 drop messages from … to below …,
--       20 number of messages of the outbox, then these, then what each index entry held when it was looked up, '' for nothing
-- Returns 'ok', 'moved' (an index entry changed meanwhile), 'behind' (the writer has not read all of the ledger), 'owner', 'pending' or 'bytes' (a cap is reached).
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local messages = tonumber(ARGV[20])
local taken = 20 + messages

for i = 11, #KEYS do
  local id = redis.pcall('GET', KEYS[i])
  if type(id) ~= 'string' then id = '' end
  if id ~= ARGV[taken + i - 10] then return 'moved' end
end
if redis.call('EXISTS', KEYS[1]) == 1 then return 'moved' end
local head = redis.pcall('GET', KEYS[8])
if type(head) ~= 'string' then head = '' end
if head ~= ARGV[14] then return 'behind' end

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, 100)) do
  local size = tonumber(redis.call('HGET', KEYS[5], id) or '0') or 0
  redis.call('HINCRBY', KEYS[5], 'total', -size)
  redis.call('HDEL', KEYS[5], id)
  redis.call('ZREM', KEYS[4], id)
end

if ARGV[2] == 'pending' then
  if redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[8]) then return 'owner' end
  if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[9]) then return 'pending' end
end
local total = tonumber(redis.call('HGET', KEYS[5], 'total') or '0') or 0
if total + tonumber(ARGV[7]) > tonumber(ARGV[10]) then return 'bytes' end

-- An index lives as long as the longest-lived request in it.
local function keep(key)
  local left = redis.call('PTTL', key)
  if left < 0 or now + left < tonumber(ARGV[6]) then redis.call('PEXPIREAT', key, ARGV[6]) end
end

-- First, so that nothing is made of which no message tells.
redis.call('HSET', KEYS[9], ARGV[16], ARGV[17])
redis.call('SET', KEYS[8], ARGV[15])
for n = tonumber(ARGV[18]), tonumber(ARGV[19]) - 1 do redis.call('HDEL', KEYS[9], string.format('%.0f', n)) end
redis.call('HSET', KEYS[1], 'state', ARGV[2], 'version', ARGV[3], 'sealed', ARGV[4])
redis.call('PEXPIREAT', KEYS[1], ARGV[6])
if ARGV[2] == 'pending' then
  redis.call('ZADD', KEYS[2], ARGV[5], ARGV[1])
  redis.call('ZADD', KEYS[3], ARGV[5], ARGV[1])
  keep(KEYS[3])
end
redis.call('ZADD', KEYS[4], ARGV[6], ARGV[1])
redis.call('HSET', KEYS[5], ARGV[1], ARGV[7])
redis.call('HINCRBY', KEYS[5], 'total', ARGV[7])
redis.call('ZADD', KEYS[6], now, ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[6], 0, -1 - tonumber(ARGV[12]))
keep(KEYS[6])
if ARGV[13] == '1' then
  redis.call('ZADD', KEYS[7], ARGV[6], ARGV[1])
  redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', now)
  keep(KEYS[7])
end
for i = 11, #KEYS do
  redis.call('SET', KEYS[i], ARGV[1])
  redis.call('PEXPIREAT', KEYS[i], ARGV[6])
end
for i = 1, messages do redis.call('ZADD', KEYS[10], now, ARGV[20 + i]) end
redis.call('PUBLISH', ARGV[11], ARGV[1]) -- a hint: who hears it reads
return 'ok'
