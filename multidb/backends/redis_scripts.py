"""The scripts that Redis runs for RedisPinStore: each for one key, on numbers of milliseconds since the epoch."""

# Keeps what is later and further of the pin that is there and the one that comes, so that the order in which two
# responses arrive does not matter. What is there and is no pin is replaced, and so is a hold later than ARGV[3], the
# latest that counts: ``Pin.held`` would not count it, nor what was merged with it. The key ends with the longer of the
# two pins, in ARGV[4] milliseconds at the latest. Returns OK.
MERGE = """
local function check(primary, hold)
    local is_whole = type(hold[1]) == 'number' and hold[1] % 1 == 0
    local has_position = hold[2] == nil or type(hold[2]) == 'table'
    assert(type(primary) == 'string' and is_whole and has_position and not hold[3])
end

local function merge(pin, old)
    for primary, hold in pairs(old) do
        check(primary, hold)
        local new = pin[primary]
        if hold[1] > tonumber(ARGV[3]) then
            hold = nil
        elseif new then
            local position = nil
            if new[2] and hold[2] then
                position = new[2]
                for stream, reached in pairs(hold[2]) do
                    if not position[stream] or position[stream] < reached then
                        position[stream] = reached
                    end
                end
            end
            hold = {math.max(new[1], hold[1]), position}
        end
        pin[primary] = hold or new
    end
    return pin
end

local milliseconds = tonumber(ARGV[2])
local _, old = pcall(cjson.decode, redis.pcall('GET', KEYS[1]) or '')
local is_pin, pin = pcall(merge, cjson.decode(ARGV[1]), old)
if is_pin then
    milliseconds = math.min(math.max(milliseconds, redis.call('PTTL', KEYS[1])), tonumber(ARGV[4]))
else
    pin = cjson.decode(ARGV[1])
end
return redis.call('SET', KEYS[1], cjson.encode(pin), 'PX', milliseconds)
"""

# Returns what the marker says: until when pins may be missing, and whether they have been lost. That is where there is
# no marker, or one later than ARGV[2], the latest that a right clock can have written: then they may be missing until
# ARGV[1]. A process that knows of more says so by ARGV[3]. It writes in any case, so that a server which takes no pins
# does not answer either. With the time it keeps the name of the history that the server has, which changes when a
# replica is promoted: that one may lack pins. A server that does not tell its history is taken for the same.
# https://redis.io/docs/latest/operate/oss_and_stack/management/replication/#replication-id-explained
MARK = """
local told = redis.pcall('INFO', 'replication')
local history = type(told) == 'string' and string.match(told, 'master_replid:(%x+)') or ''
local known = redis.pcall('GET', KEYS[1])
local missing, of = string.match(type(known) == 'string' and known or '', '^(%d+) ?(%x*)$')
local is_other = of ~= '' and history ~= '' and of ~= history
local is_lost = not missing or is_other or tonumber(missing) > tonumber(ARGV[2])
if is_lost then
    missing = ARGV[1]
end
if tonumber(missing) < tonumber(ARGV[3]) then
    missing = ARGV[3]
end
local marker = missing .. ' ' .. (history ~= '' and history or of or '')
if marker == known then
    redis.call('SET', KEYS[1], marker, 'NX')
else
    redis.call('SET', KEYS[1], marker)
end
return is_lost and missing .. ' lost' or missing
"""
