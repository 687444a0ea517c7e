#!/bin/sh
# Prints where a program of Prometheus is, e.g. `infra/tools/prometheus.sh promtool`: in the PATH, or unpacked from Debian's
# packages into .tools. They are not installed, because that would start servers on this machine. Fails, with the reason,
# where the program cannot be had.
set -eu

name=${1:?usage: prometheus.sh prometheus|promtool|prometheus-node-exporter|alertmanager|amtool}
case $name in
alertmanager) command=prometheus-alertmanager ;;
*) command=$name ;;
esac

if command -v "$command"; then exit 0; fi

here=$(dirname "$0")
tools=${FIREWATCH_TOOLS_DIR:-$here/../../.tools}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
unpacked=$tools/prometheus
program=$unpacked/usr/bin/$command

if [ ! -x "$unpacked/usr/bin/alertmanager-here" ]; then
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        echo "$command is missing, and this is no Debian; it is part of https://prometheus.io/download" >&2
        exit 1
    fi
    echo 'fetching prometheus, its node exporter and alertmanager' >&2
    partial=$(mktemp -d "$tools/prometheus.XXXXXX")
    # without root, the lists of packages have to be there
    [ "$(id -u)" -ne 0 ] || apt-get -qq update >&2 || true
    (cd "$partial" && apt-get -qq -o Acquire::Retries=3 -o APT::Sandbox::User=root download \
        prometheus prometheus-node-exporter prometheus-alertmanager >&2) || {
        rm -rf "$partial"
        echo "$command is missing, and the Debian packages of Prometheus cannot be fetched" >&2
        exit 1
    }
    for package in "$partial"/*.deb; do dpkg-deb --extract "$package" "$partial"; done
    rm -f "$partial"/*.deb
    # Debian's Alertmanager reads its templates from /usr/share: it is given them there, and nobody else is
    cat >"$partial/usr/bin/alertmanager-here" <<'END'
#!/bin/sh
usr=$(cd "$(dirname "$0")/.." && pwd)
exec unshare --user --map-root-user --mount sh -c '
    mount -t overlay overlay -o "lowerdir=$0/share:/usr/share" /usr/share
    exec "$0/bin/prometheus-alertmanager" "$@"' "$usr" "$@"
END
    chmod 755 "$partial" "$partial/usr/bin/alertmanager-here"
    rm -rf "$unpacked"
    # of several that fetch at once, one wins
    mv -T "$partial" "$unpacked" 2>/dev/null || rm -rf "$partial"
fi
[ "$name" != alertmanager ] || program=$unpacked/usr/bin/alertmanager-here
echo "$program"
