#!/usr/bin/env bash
# Checks the images as far as a machine without a Docker engine can: `bash docker/check.sh`.
#   always: each COPY source exists, each RUN is valid shell, and compose.yaml is valid where compose is at hand
#   with an engine: builds the cpu image and trains in it
#   without, as root with debootstrap: does the cpu image's steps in a bare Debian tree and trains there
#     (some minutes, 7 GB below $TMPDIR; Debian's Python is not the image's own)
set -euo pipefail
cd "$(dirname "$0")/.."

smoke='trainer=smoke logger=none'

instructions() { # the Dockerfile with one instruction a line
  sed -e '/^#/d' -e '/^$/d' docker/Dockerfile | sed -e ':join' -e '/\\$/{N;s/\\\n */ /;b join' -e '}'
}

check_text() {
  while read -r word rest; do
    case $word in
      RUN) sh -n -c "$rest" ;;
      COPY) check_sources "$rest" ;;
      ARG | FROM | ENV | USER | VOLUME | WORKDIR | ENTRYPOINT | CMD) ;;
      *) echo "Dockerfile: unknown instruction $word" >&2 && return 1 ;;
    esac
  done < <(instructions)
  while read -r path; do
    [ -e "$path" ] || { echo "Dockerfile.dockerignore: no $path here" >&2 && return 1; }
  done < <(sed -n 's/^!//p' docker/Dockerfile.dockerignore)
}

check_sources() { # all words but options and the last one
  local -a words
  read -ra words <<<"$1"
  [[ $1 == --from=* ]] || for word in "${words[@]:0:${#words[@]}-1}"; do
    [[ $word == --* || -e $word ]] || { echo "Dockerfile: COPY of $word, which is not here" >&2 && return 1; }
  done
}

check_compose() {
  local -a compose
  if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
  elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
  else
    echo 'compose.yaml: not checked, compose is not installed' && return
  fi
  "${compose[@]}" -f docker/compose.yaml config --quiet
}

check_with_engine() {
  docker build -f docker/Dockerfile --target cpu --build-arg TORCH_INDEX_URL="${TORCH_INDEX_URL:-}" -t ganlab:check .
  # shellcheck disable=SC2086
  docker run --rm ganlab:check train experiment=quickstart $smoke
}

# What the steps of a build change. One tree serves base, wheel and cpu, one after the other.
tree='' user=root entrypoint='' command=''
environment=()

inside() { # inside COMMAND: runs it in the tree as a build step would; the mounts end with the process
  # shellcheck disable=SC2016
  unshare --mount bash -ec 'mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"
    exec chroot --userspec="$2" "$1" env -i HOME="/home/$2" "${@:4}" sh -c "cd / && $3"' - \
    "$tree" "$user" "$1" "${environment[@]}"
}

extend_environment() {
  local PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  eval "environment+=($1)"
}

make_bare_tree() {
  tree=$(mktemp -d)
  trap 'rm -rf --one-file-system "$tree"' EXIT
  chmod 755 "$tree"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$tree" >"$tree.log" || {
    tail -n 5 "$tree.log" >&2 && return 1
  }
  rm "$tree.log"
  # This machine's way to the network.
  for path in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
    [ ! -e "$path" ] || cp "$path" "$tree$path"
  done
  for name in PIP_INDEX_URL PIP_CERT SSL_CERT_FILE http_proxy https_proxy no_proxy; do
    [ -z "${!name:-}" ] || environment+=("$name=${!name}")
  done
}

copy_context() { # copy_context DESTINATION
  mkdir -p "$tree$1"
  sed -n 's/^!//p' docker/Dockerfile.dockerignore | xargs cp -r -t "$tree$1"
  chroot "$tree" chown -R "$user" "$1"
}

do_steps() {
  local stage='' name
  while read -r word rest <&3; do
    [ "$word" != FROM ] || stage=${rest##* }
    [ "$stage" != gpu ] || continue
    case $word in
      ENV) extend_environment "$rest" ;;
      ARG) name=${rest%%=*} && environment+=("$name=${!name-${rest#*=}}") ;;
      USER) user=$rest ;;
      COPY) [[ $rest == --from=* ]] || copy_context "${rest##* }" ;;
      RUN) echo "-- $stage: $rest ($SECONDS s)" && inside "$rest" | tail -n 1 ;;
      ENTRYPOINT) entrypoint=$(tr -d '[]",' <<<"$rest") ;;
      CMD) command=$(tr -d '[]",' <<<"$rest") ;;
    esac
  done 3< <(instructions)
}

check_in_tree() {
  make_bare_tree
  do_steps
  echo "-- $entrypoint $command $smoke ($SECONDS s)"
  inside "$entrypoint $command $smoke"
  ls -l "$tree"/runs/*/run.json
}

check_text
check_compose
if docker info >/dev/null 2>&1; then
  check_with_engine
elif [ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null; then
  check_in_tree
else
  echo 'the steps were not tried: neither a Docker engine nor (as root) debootstrap is at hand'
fi
echo "docker: passed ($SECONDS s)"
