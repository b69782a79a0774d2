-- Begins the ledger anew after an acknowledged loss. KEYS: 1 head, 2 ledger. ARGV: 1 head as it was, 2 head after, 3 number, 4 message.
-- Returns 'ok', or 'moved' where somebody has written meanwhile.
if text(KEYS[1], 100) ~= ARGV[1] then return 'moved' end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
redis.call('SET', KEYS[1], ARGV[2])
return 'ok'
