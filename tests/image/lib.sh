# shellcheck shell=bash
# A store of buildah's of its own for one run: nothing of the machine's images
# is seen, and removing the folder removes every container and image again.
# shellcheck disable=SC2034  # used by the files that source this one

HERE=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd -- "$HERE/../.." && pwd)
CACHE=${HOME:?HOME is not set}/.cache/rollcast
BASE_IMAGE=localhost/rollcast-base:1
IMAGE=localhost/rollcast:test

say() { printf 'image: %s\n' "$*" >&2; }

die() {
  printf 'image: error: %s\n' "$*" >&2
  exit 1
}

command -v buildah >/dev/null || die "buildah is missing: apt-get install buildah"
[ "$(id -u)" = 0 ] || die "run as root: buildah's chroot isolation mounts"

WORK=$(mktemp -d)
trap 'rm -rf -- "$WORK"' EXIT

# vfs and chroot need nothing of the kernel that a container lacks.
bud() {
  local command=$1
  shift
  buildah --root "$WORK/store" --runroot "$WORK/run" --storage-driver vfs "$command" "$@"
}
