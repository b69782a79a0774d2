-- Reads the beat and the whole part of a replica at one moment.
-- KEYS: the beats, the part. ARGV: its id. Returns {beat, slot, text, …}.
local shown = {redis.call('HGET', KEYS[1], ARGV[1]) or ''}
local all = redis.call('HGETALL', KEYS[2])
for i = 1, #all do shown[#shown + 1] = all[i] end
return shown
