#!/usr/bin/env bash
# Installs and builds the servers of other vendors, and the browser, that tests/peers talks to; `make peers`.
#
# - A Modbus TCP server on libmodbus (Debian: libmodbus-dev, gcc), built into build/peers/.
# - Chromium and ChromeDriver (Debian: chromium, chromium-driver), which look at the status page and the
#   portal, with a Chinese typeface (Debian: fonts-noto-cjk); axe-core (npm) checks the portal.
# - An OPC UA server on node-opcua (npm), installed into tests/peers/servers/node_modules/.
# - A micro:bit: QEMU (Debian: qemu-system-arm) and a genuine MicroPython, from uflash (PyPI).
# - esptool (PyPI; GPL, so it is called and never part of the product), with uflash in build/peers/boards/.
# - An S3 object store on moto (PyPI), in build/peers/s3/.
# - PostgreSQL (Debian: postgresql), which tests/stores starts for itself in a temporary directory.
# - An OpenID provider on oidc-provider (npm), beside node-opcua.
# Installing Debian packages needs root; what is there already is not asked for again.
set -euo pipefail
cd "$(dirname "$0")/.."

needed=()
command -v gcc >/dev/null || needed+=(gcc libc6-dev)
command -v node >/dev/null || needed+=(nodejs)
command -v npm >/dev/null || needed+=(npm)
[[ -e /usr/include/modbus/modbus.h ]] || needed+=(libmodbus-dev)
command -v chromium >/dev/null || needed+=(chromium)
command -v chromedriver >/dev/null || needed+=(chromium-driver)
[[ -e /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc ]] || needed+=(fonts-noto-cjk)
command -v qemu-system-arm >/dev/null || needed+=(qemu-system-arm)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || needed+=(postgresql)
if ((${#needed[@]})); then
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        echo "expected ${needed[*]} to be installed; on Debian, as root: apt-get install ${needed[*]}" >&2
        exit 3
    fi
    apt-get update -qq >/dev/null
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "${needed[@]}" ca-certificates >/dev/null
fi

mkdir -p build/peers
gcc -O2 -Wall -Werror -I/usr/include/modbus tests/peers/servers/modbus_server.c -lmodbus -o build/peers/modbus_server
(cd tests/peers/servers && npm ci --no-audit --no-fund --loglevel=error)
(cd scripts/portal && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
# What Python brings stands in environments of its own, beside the product's.
for peer in boards s3; do
    home=build/peers/$peer
    cmp -s "tests/peers/$peer.txt" "$home/installed.txt" && continue
    rm -rf "$home"
    "${PYTHON:-python3}" -m venv "$home"
    "$home/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "tests/peers/$peer.txt"
    cp "tests/peers/$peer.txt" "$home/installed.txt"
done
