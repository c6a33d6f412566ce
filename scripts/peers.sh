#!/usr/bin/env bash
# Installs and builds the servers of other vendors, and the browser, that tests/peers talks to; `make peers`.
#
# - A Modbus TCP server on libmodbus (Debian: libmodbus-dev, gcc), built into build/peers/.
# - Chromium and ChromeDriver (Debian: chromium, chromium-driver), which look at the status page.
# - An OPC UA server on node-opcua (npm), installed into tests/peers/servers/node_modules/.
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
