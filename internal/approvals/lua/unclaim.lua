-- Gives a claim back. KEYS: 1 the request's hash. ARGV: 1 nonce.
if redis.call('HGET', KEYS[1], 'claim') == ARGV[1] then redis.call('HDEL', KEYS[1], 'claim', 'claim_until') end
return 'ok'
