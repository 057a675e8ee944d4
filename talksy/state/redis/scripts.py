"""What has to happen in Redis in one step. Each script touches one key, as a cluster wants it."""

from hashlib import sha1

PREFIX = "talksy:1"
"""Begins every key and channel: ours, and the version of what stands there."""


class Script:
    """A script and the name under which Redis keeps it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


APPEND = Script("""
-- A list a turn: element 0 is the fence, element i + 1 event i, so a gap cannot be written.
local fence, first, final = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local stored = redis.call('LINDEX', KEYS[1], 0)
local have = 0
if stored then
  local ended
  stored, ended = string.match(stored, '^(%d+)(e?)')
  if tonumber(stored) > fence then return {-1, 0} end
  have = redis.call('LLEN', KEYS[1]) - 1
  if ended == 'e' then return {have, 0} end
  if tonumber(stored) < fence then redis.call('LSET', KEYS[1], 0, ARGV[1]) end
end
if first > have then return {have, 0} end
local events, known = #ARGV - 8, have - first
if not stored then redis.call('RPUSH', KEYS[1], ARGV[1]) end
if events > known then
  -- As many at once as Lua has room for.
  for from = 9 + known, #ARGV, 1000 do
    redis.call('RPUSH', KEYS[1], unpack(ARGV, from, math.min(from + 999, #ARGV)))
  end
  if final then redis.call('LSET', KEYS[1], 0, ARGV[1] .. 'e') end
end
redis.call('PEXPIRE', KEYS[1], final and ARGV[5] or ARGV[4])
local listeners = 0
if events > known then
  local body = table.concat(ARGV, '\\n', 9 + known)
  if #body > tonumber(ARGV[8]) then body = '' end
  listeners = redis.call('PUBLISH', ARGV[6], ARGV[7] .. '\\n' .. have .. '\\n' .. body)
end
return {math.max(have, first + events), listeners}
""")

SEAL = Script("""
local stored = redis.call('LINDEX', KEYS[1], 0)
local kept = ARGV[2]
if not stored then
  redis.call('RPUSH', KEYS[1], ARGV[1])
else
  local fence, ended = string.match(stored, '^(%d+)(e?)')
  if tonumber(fence) < tonumber(ARGV[1]) then redis.call('LSET', KEYS[1], 0, ARGV[1] .. ended) end
  if ended == 'e' then kept = ARGV[3] end
end
redis.call('PEXPIRE', KEYS[1], kept)
return redis.call('LRANGE', KEYS[1], 1, -1)
""")

HIT = Script("""
-- A list a window, of 'moment:sum': sum is all that was ever taken, up to and with that moment.
-- Element 0 has left the window; the others are counted from its sum.
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local now = tonumber(ARGV[5])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local function entry(place)
  local found = redis.call('LINDEX', KEYS[1], place)
  if not found then return nil end
  local at, sum = string.match(found, '^(%d+):(%d+)$')
  return tonumber(at), tonumber(sum)
end
local newest, sum = entry(-1)
-- A clock that went back a little stands still meanwhile; after more than that all begins anew.
if newest and newest > now + window then
  redis.call('DEL', KEYS[1])
  newest = nil
end
now = math.max(now, newest or 0)
local base = 0
if newest then
  local _, at, passed
  _, base = entry(0)
  at, passed = entry(1)
  while at and at <= now - window do
    redis.call('LPOP', KEYS[1])
    base = passed
    at, passed = entry(1)
  end
else
  sum = 0
end
local held, asked = sum - base, math.max(cost, 1)
local allowed = held + asked <= limit
if allowed and cost > 0 then
  if not newest then redis.call('RPUSH', KEYS[1], string.format('%d:0', now)) end
  sum, held = sum + cost, held + cost
  redis.call('RPUSH', KEYS[1], string.format('%d:%d', now, sum))
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
local wait = 0
if not allowed and asked > limit then
  wait = window
elseif held > 0 then
  local leaving = allowed and 1 or held + asked - limit
  local place, at, reached = 0, nil, base
  while reached - base < leaving do
    place = place + 1
    at, reached = entry(place)
  end
  wait = at + window - now
end
return {allowed and 1 or 0, held, now, wait}
""")

REFUND = Script("""
local cost = tonumber(ARGV[1])
local function sum(place)
  return tonumber(string.match(redis.call('LINDEX', KEYS[1], place), ':(%d+)$'))
end
while cost > 0 and redis.call('LLEN', KEYS[1]) > 1 do
  local total = sum(-1)
  local taken = total - sum(-2)
  if taken <= cost then
    redis.call('RPOP', KEYS[1])
  else
    local at = string.match(redis.call('LINDEX', KEYS[1], -1), '^%d+')
    redis.call('LSET', KEYS[1], -1, string.format('%s:%d', at, total - cost))
  end
  cost = cost - math.min(cost, taken)
end
if redis.call('LLEN', KEYS[1]) == 1 then redis.call('DEL', KEYS[1]) end
""")

_SLOTS = """
-- A list a user, of 'until session key': what its node does not renew is gone by itself.
local now, kept = tonumber(ARGV[1]), tonumber(ARGV[2])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local held, in_session = {}, {}
for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local till, session, key = string.match(entry, '^(%d+) (%S+) (%S+)$')
  if tonumber(till) > now then
    held[#held + 1] = {till, session, key}
    in_session[session] = (in_session[session] or 0) + 1
  end
end
local function store()
  redis.call('DEL', KEYS[1])
  for _, slot in ipairs(held) do redis.call('RPUSH', KEYS[1], table.concat(slot, ' ')) end
  if #held > 0 then redis.call('PEXPIRE', KEYS[1], kept) end
end
"""

TAKE = Script(
    _SLOTS
    + """
local session, key = ARGV[3], ARGV[4]
if #held >= tonumber(ARGV[6]) or (in_session[session] or 0) >= tonumber(ARGV[5]) then return 0 end
held[#held + 1] = {string.format('%d', now + kept), session, key}
store()
return 1
"""
)

RENEW = Script(
    _SLOTS
    + """
-- Also what this Redis has never heard of: it was emptied, or another one took its place.
local mine = {}
for at = 3, #ARGV, 2 do mine[ARGV[at + 1]] = ARGV[at] end
for _, slot in ipairs(held) do
  if mine[slot[3]] then slot[1], mine[slot[3]] = string.format('%d', now + kept), nil end
end
for key, session in pairs(mine) do
  held[#held + 1] = {string.format('%d', now + kept), session, key}
end
store()
return #held
"""
)

FREE = Script(
    _SLOTS
    + """
for at, slot in ipairs(held) do
  if slot[3] == ARGV[3] then
    table.remove(held, at)
    break
  end
end
store()
return #held
"""
)

PROBE = Script("""
-- Whether it takes writes, which PUBLISH alone does not tell: a replica and a full server do that.
redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return redis.call('PUBLISH', KEYS[1], '1')
""")

ALL = (APPEND, SEAL, HIT, REFUND, TAKE, RENEW, FREE, PROBE)
