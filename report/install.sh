# For run.sh beside it: install PACKAGE... installs Debian packages, as root or with sudo, or says what to do.
install() {
	as=
	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null || { echo "missing: $*; hint: install these packages" >&2 && exit 1; }
		as=sudo
	fi
	echo "installing $*" >&2
	$as apt-get -q -o DPkg::Lock::Timeout=300 update >/dev/null
	$as env DEBIAN_FRONTEND=noninteractive apt-get install -y -q -o DPkg::Lock::Timeout=300 --no-install-recommends "$@" >/dev/null
}
