#!/bin/sh
# Makes a place with everything that this example needs: a repository that is pushed to (docs.git), a checkout
# of it (docs) with one commit, the configuration and the worker.
#
#   make-repository.sh PLACE [BUILD_PORT [DOCS_PORT]]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
place=${1:?make-repository.sh PLACE [BUILD_PORT [DOCS_PORT]]}
build_port=${2:-8080}
docs_port=${3:-8000}

mkdir -p "$place"
place=$(cd "$place" && pwd)
sed "s/^\(listen = .*:\)8080\$/\1$build_port/; s/\"8000\"/\"$docs_port\"/; s#:8000/#:$docs_port/#" \
    "$here/ward.conf" >"$place/ward.conf"
cp "$here/worker.py" "$place/worker.py"

git init -q --bare "$place/docs.git"
git -C "$place/docs.git" symbolic-ref HEAD refs/heads/main

# What the server wants to hear from who tells it of a push: its secret `notify-token`.
(umask 077 && python3 -c 'import secrets; print(secrets.token_hex(16))' >"$place/notify-token")

# Jenkins' way to tell a server of a push: it looks for itself, and builds what is new.
cat >"$place/docs.git/hooks/post-receive" <<HOOK
#!/bin/sh
exec python3 - "http://127.0.0.1:$build_port" "$place/docs.git" "$place/notify-token" <<'PY'
import sys, urllib.error, urllib.parse, urllib.request

server, repository, token = sys.argv[1:]
with open(token) as file:
    query = urllib.parse.urlencode({"url": repository, "token": file.read().strip()})
try:
    with urllib.request.urlopen(f"{server}/git/notifyCommit?{query}", timeout=10) as answer:
        print(answer.read().decode().strip())
except (urllib.error.URLError, OSError) as error:
    print(f"the build server was not told: {error}")
PY
HOOK
chmod 755 "$place/docs.git/hooks/post-receive"

git clone -q "$place/docs.git" "$place/docs" 2>/dev/null
cp -R "$here/site/." "$place/docs"
cd "$place/docs"
git symbolic-ref HEAD refs/heads/main
git config user.name Docs
git config user.email docs@example.org
git add .
git commit -q -m 'A first page'
