-- Adds a message to the ledger. KEYS: 1 head, 2 ledger. ARGV: 1 head before, 2 head after, 3 number, 4 message, 5 and 6 drop messages from … to below ….
-- Returns 'ok', or 'behind' where there are messages that the writer has not read.
if text(KEYS[1], 100) ~= ARGV[1] then return 'behind' end
if ARGV[1] == '' then hint(KEYS[2], 'hash') end -- a ledger that nobody has begun
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('SET', KEYS[1], ARGV[2])
for n = tonumber(ARGV[5]), tonumber(ARGV[6]) - 1 do redis.call('HDEL', KEYS[2], string.format('%.0f', n)) end
return 'ok'
