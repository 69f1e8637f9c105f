#!/usr/bin/env bash
# Boots a systemd of its own in a container and runs there what README.md says under "Run it as a
# service": every command but the two that install the bridge, which would need a network. Posts all
# the while, restarts, hangs the receiver, stops, and prints what happened.
#
# Usage, as root, with debootstrap and systemd-nspawn installed: systemd/try.sh VENV [FOLDER]
#   VENV    an environment of Python 3.11 in which the bridge's dependencies are installed
#   FOLDER  where the container goes; one that is there is used again (default: a temporary one)
set -euo pipefail

venv=$(realpath "${1:?name the virtual environment to take the dependencies from}")
repository=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
root=${2:-}
if [[ -z $root ]]; then
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
fi
if [[ ! -x $root/usr/bin/python3 ]]; then
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,python3,procps bookworm "$root" >/dev/null
fi

opt=$root/opt/langfuse-bridge
rm -rf "$opt"
mkdir -p "$opt"
chroot "$root" python3 -m venv --without-pip /opt/langfuse-bridge/.venv
packages=$opt/.venv/lib/python3.11/site-packages
cp -a "$venv"/lib/python3.11/site-packages/. "$packages"
rm -rf "$packages"/*editable* "$packages"/bridge
cp -a "$repository/bridge" "$packages"
cp -a "$repository/systemd" "$opt"
cat >"$opt/.venv/bin/langfuse-bridge" <<'EOF'
#!/opt/langfuse-bridge/.venv/bin/python3
import sys
from bridge.cli import main
sys.exit(main())
EOF
chmod +x "$opt/.venv/bin/langfuse-bridge"

# The shell blocks of the section, without the first one, which installs.
awk '/^## /{on = /^## Run it as a service/}
     on && /^```sh/{n++; code = 1; next} /^```/{code = 0}
     code && n > 1' "$repository/README.md" >"$root/opt/readme.sh"
cp "$repository/bridge/app/demo_session/001.logs.json" "$root/opt/body.json"
cat >"$root/opt/post.py" <<'EOF'
import collections, http.client, pathlib, re, sys, time
token = re.search(r"lfb_[\w-]+", pathlib.Path("/opt/out").read_text())[0]
headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
body = pathlib.Path("/opt/body.json").read_bytes()
answers, longest_s, end_s = collections.Counter(), 0.0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < end_s:
    begun_s = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", 4318, timeout=15)
    try:
        connection.request("POST", "/v1/logs", body, headers)
        answers[connection.getresponse().status] += 1
    except OSError as error:
        answers[repr(error)] += 1
    connection.close()
    longest_s = max(longest_s, time.monotonic() - begun_s)
    time.sleep(0.05)
print(f"answers {dict(answers)}, the longest after {longest_s:.1f} s")
EOF
cat >"$root/opt/try.sh" <<'EOF'
exec >/opt/out 2>&1
sudo() { env "$@"; }
set -x
. /opt/readme.sh
: four restarts while somebody posts
python3 /opt/post.py 20 & posting=$!
for _ in 1 2 3 4; do sleep 4; systemctl restart langfuse-bridge; done
wait $posting
: a receiver that hangs
mkdir -p /run/systemd/system/langfuse-bridge.service.d
printf '[Service]\nWatchdogSec=6s\n' >/run/systemd/system/langfuse-bridge.service.d/try.conf
systemctl daemon-reload
systemctl restart langfuse-bridge
kill -STOP "$(pgrep -f 'lean bridge.app.receiver')"
sleep 20
systemctl show langfuse-bridge -p NRestarts -p ActiveState -p StatusText
systemctl reset-failed langfuse-bridge
: a stop
systemctl stop langfuse-bridge.socket langfuse-bridge
systemctl show langfuse-bridge -p Result -p ActiveState
journalctl -b -u langfuse-bridge --no-pager -o cat | grep -c sk-lf-
EOF
cat >"$root/etc/systemd/system/try.service" <<'EOF'
[Unit]
After=multi-user.target
[Service]
Type=idle
ExecStart=/bin/bash /opt/try.sh
ExecStopPost=/bin/systemctl poweroff --no-block
[Install]
WantedBy=graphical.target
EOF
rm -rf "$root"/etc/credstore "$root"/etc/langfuse-bridge.env "$root"/opt/out "$root"/var/lib/private/langfuse-bridge
rm -f "$root"/etc/systemd/system/{check.service,langfuse-bridge.*} "$root"/etc/systemd/system/*.wants/{check,langfuse-bridge}.*
chroot "$root" systemctl enable try.service 2>/dev/null
timeout 240 systemd-nspawn --quiet --register=no --keep-unit --private-network -D "$root" -b </dev/null >/dev/null || true
cat "$root/opt/out"
