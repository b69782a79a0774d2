-- Puts the head of the ledger right. KEYS: 1 head, 2 ledger. ARGV: 1 head as it was, '' where it is no text of that size, 2 head after, 3 number of the newest
-- message, 4 that message, 5 the next number. Returns 'ok', or 'moved' where the ledger is not as it was read.
if text(KEYS[1], 100) ~= ARGV[1] then return 'moved' end
if redis.pcall('HGET', KEYS[2], ARGV[3]) ~= ARGV[4] or redis.call('HEXISTS', KEYS[2], ARGV[5]) == 1 then return 'moved' end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[2])
return 'ok'
