#!/usr/bin/env bash
# What a new user does: clone into a folder with spaces, as nobody special, `make run`, call it, stop it, `make run` again.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
folder=$(mktemp -d)
port=$((20000 + RANDOM % 20000))
url=http://127.0.0.1:$port
as_user=()
server=

finish() {
  if [ -n "$server" ]; then kill -TERM -- "-$server" 2>/dev/null || true; fi
  rm -rf "$folder"
}
trap finish EXIT

git clone -q "file://$here" "$folder/auth svc"
python=python3
if [ "$(id -u)" = 0 ]; then
  # Root's own Python may lie where others cannot read; Debian's can be read by all.
  python=/usr/bin/python3
  chmod 755 "$folder"
  chown -R nobody: "$folder"
  as_user=(setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME="$folder" GIT_CONFIG_GLOBAL=/dev/null)
fi

start() { # in a session of its own, so that the whole of it can be stopped
  setsid "${as_user[@]}" sh -c 'cd "$1" && PYTHON=$2 PORT=$3 exec make run' sh "$folder/auth svc" "$python" "$port" >"$folder/log" 2>&1 &
  server=$!
  for _ in $(seq 240); do
    if curl -fs -o /dev/null "$url/readyz"; then return; fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.5
  done
  cat "$folder/log"
  echo "make run did not serve" >&2
  exit 1
}

stop() {
  kill -TERM -- "-$server"
  wait "$server" || true
  server=
}

passed=0
pass() { passed=$((passed + 1)); echo "clone: $1"; }

start
pass "make run serves from a clone in a path with spaces, as $("${as_user[@]}" id -un)"
grep -q "$url/docs" "$folder/log" && grep -q "$url/admin/" "$folder/log" && grep -q createsuperuser "$folder/log"
pass "it prints where the documentation and the admin are, and how to make an operator"
key=$(grep '^SECRET_KEY=' "$folder/auth svc/.env")
[ ${#key} -ge 60 ]
pass "it wrote .env with a secret"
[ "$(stat -c %a "$folder/auth svc/.env")" = 600 ]
pass ".env is for its owner only"
stop
before=$(date +%s)
start
pass "the second make run serves after $(($(date +%s) - before)) s"
[ "$key" = "$(grep '^SECRET_KEY=' "$folder/auth svc/.env")" ]
pass "the second make run kept the secret"
curl -fs -o /dev/null "$url/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
pass "static files are served without collectstatic"
stop
echo "$passed passed, 0 failed"
