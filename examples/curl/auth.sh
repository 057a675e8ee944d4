#!/bin/sh
# Walks through the life of an account with curl: what is sent, what comes back, what it means.
#
#   sh auth.sh
#
# TALKSY_URL is where Talksy runs, http://localhost:3000 unless set. GRACE_SECONDS is how long to
# wait until a used refresh token is good for nothing any more: a little over JWT_REFRESH_GRACE_MS.
# It stops at the first answer that is not the expected one.
set -eu

url=${TALKSY_URL:-http://localhost:3000}
grace=${GRACE_SECONDS:-11}
email="walker-$(date +%s)-$$@example.com"
password=Hello-Talksy-1

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

say() { printf '\n# %s\n' "$*"; }

# ask STATUS METHOD PATH [BODY] [ACCESS-TOKEN]: sends a request that must be answered with STATUS.
# Bodies and tokens go in by stdin: every user of a machine can read the arguments of a command.
ask() {
  printf '%s %s %s\n' "$2" "$3" "$(short "${4:-}")${5:+(with the access token)}"
  data=$(printf %s "${4:-}" | sed 's/[\\"]/\\&/g')
  status=$(
    {
      printf 'header = "Content-Type: application/json"\n'
      [ -z "${5:-}" ] || printf 'header = "Authorization: Bearer %s"\n' "$5"
      [ -z "$data" ] || printf 'data = "%s"\n' "$data"
    } | curl --silent --show-error --config - --request "$2" \
      --output "$answer" --write-out '%{http_code}' "$url$3"
  )
  printf '  %s %s\n' "$status" "$(short "$(cat "$answer")")"
  if [ "$status" != "$1" ]; then
    printf 'That should have been %s.\n' "$1" >&2
    exit 1
  fi
}

# Tokens are long: their first characters tell them apart.
short() { printf %s "$1" | sed 's/\("[a-z]*Token": *"[^"]\{44\}\)[^"]*"/\1..."/g'; }

# field NAME: a field of the last answer. jq would do it better, but not every machine has it.
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$answer"; }

expect() {
  if [ "$2" != "$3" ]; then
    printf 'That should have been the %s.\n' "$1" >&2
    exit 1
  fi
}

# ---- an account

say "A password that is too easy is refused with everything that is wrong with it."
ask 400 POST /auth/register "{\"email\": \"$email\", \"password\": \"easy\"}"

say "With a better one there is an account, and with it the first pair of tokens."
ask 201 POST /auth/register "{\"email\": \"$email\", \"password\": \"$password\"}"
access=$(field accessToken) first=$(field refreshToken)

say "An address has one account, however it is spelled."
loud=$(printf %s "$email" | tr a-z A-Z)
ask 409 POST /auth/register "{\"email\": \"$loud\", \"password\": \"$password\"}"

say "Whoever guesses is not told whether it is the address or the password that is wrong."
ask 401 POST /auth/login "{\"email\": \"$email\", \"password\": \"Wrong-Horse-9\"}"

say "Who knows it gets a pair of tokens of another family: one for each login."
ask 200 POST /auth/login "{\"email\": \"$email\", \"password\": \"$password\"}"
other_access=$(field accessToken) other=$(field refreshToken)

# ---- the access token

say "The access token says who is asking; it is good for some minutes."
ask 401 GET /auth/me
ask 200 GET /auth/me "" "$access"
expect "address of the account" "$(field email)" "$email"

# ---- the refresh token

say "The refresh token is good for a new pair, once."
ask 200 POST /auth/refresh "{\"refreshToken\": \"$first\"}"
second=$(field refreshToken) access=$(field accessToken)

say "For some seconds it gives the same successor: two tabs may come at once, an answer get lost."
ask 200 POST /auth/refresh "{\"refreshToken\": \"$first\"}"
expect "same successor" "$(field refreshToken)" "$second"

say "After that only a thief would use it again, so its whole family is revoked ($grace s)..."
sleep "$grace"
ask 401 POST /auth/refresh "{\"refreshToken\": \"$first\"}"

say "...the successor and the access token with it."
ask 401 POST /auth/refresh "{\"refreshToken\": \"$second\"}"
ask 401 GET /auth/me "" "$access"

say "The other login has nothing to do with that."
ask 200 GET /auth/me "" "$other_access"

# ---- the end

say "Logging out revokes its family at once, and closes its sockets. Unknown tokens are no news."
ask 204 POST /auth/logout "{\"refreshToken\": \"$other\"}"
ask 401 GET /auth/me "" "$other_access"
ask 204 POST /auth/logout '{"refreshToken": "unknown"}'

# ---- errors

say "Errors are problem documents: a code for programs, a message for people, an id for the log."
ask 404 GET /no/such/page
ask 405 GET /auth/login
ask 400 POST /auth/login '{"email": "ada@example.com", "pasword": "Hello-Talksy-1"}'

printf '\nAll as it should be.\n'
