#!/usr/bin/env bash
# pema submit on a real Slurm: slurmctld, two slurmd and munge of Debian's packages on loopback, in a temporary folder with own
# ports. A model comes from a hub on loopback (pema mirror), fetched by the first job. An array of 12 runs with 2 slots; one task
# is killed, one node drained and resumed; a second call completes exactly what is missing, and the report comes last. Run as root from any folder, with bin/pema built and the sample fetched; where Slurm is
# missing it is installed with apt-get.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
here=$root/experiments/cluster/slurm
export PATH=$PATH:/usr/sbin:/sbin
say() { printf 'test-slurm: %s\n' "$*"; }
die() { printf 'test-slurm: FAIL: %s\n' "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || die "Slurm's daemons are started as root here"
for tool in slurmctld slurmd sbatch munged jq; do
	if ! command -v $tool >/dev/null; then
		say "installing Slurm, munge and jq (once)"
		{ apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends slurmctld slurmd slurm-client munge jq; } >/dev/null
		break
	fi
done

work=$(mktemp -d)
chmod 755 "$work"
export SLURM_CONF=$work/slurm.conf # from here on Slurm's commands know no other cluster
cleanup() {
	local code=$?
	# Tasks end before the daemons do.
	timeout 5 scancel --signal=KILL --full --user=root >/dev/null 2>&1 || true
	timeout 5 scancel --user=root >/dev/null 2>&1 || true
	for _ in $(seq 50); do
		[ -n "$(timeout 5 squeue -h 2>/dev/null)" ] || break
		sleep 0.1
	done
	local pids
	pids=$(cat "$work"/{n1,n2,ctld,munge,mirror}.pid 2>/dev/null || true)
	kill $pids 2>/dev/null || true
	if [ $code != 0 ]; then
		tail -n 15 "$work"/*.log "$work"/out/submit/*/logs/* >&2 2>/dev/null || true
	fi
	for _ in $(seq 100); do
		kill -0 $pids 2>/dev/null || break # until none is left
		sleep 0.1
	done
	rm -rf "$work"
	exit $code
}
trap cleanup EXIT
trap "exit 130" INT TERM

# --- the cluster ---
# Three ports that are free now.
read -r p0 p1 p2 < <(python3 -c 'import socket
s = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*[x.getsockname()[1] for x in s])')
host=$(hostname -s)
mkdir "$work/state" "$work/spool"
dd if=/dev/urandom of="$work/munge.key" bs=1024 count=1 2>/dev/null
chmod 400 "$work/munge.key"
cat >"$work/slurm.conf" <<C
ClusterName=pema
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$p0
AuthType=auth/munge
AuthInfo=socket=$work/munge.sock
SlurmUser=root
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool/%n
SlurmctldPidFile=$work/ctld.pid
SlurmdPidFile=$work/%n.pid
SlurmctldLogFile=$work/ctld.log
SlurmdLogFile=$work/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_min_interval=100000
ReturnToService=2
MpiDefault=none
KillWait=2
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$p1 CPUs=1 RealMemory=8000 State=UNKNOWN
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$p2 CPUs=1 RealMemory=8000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
C
munged --force --socket="$work/munge.sock" --key-file="$work/munge.key" --pid-file="$work/munge.pid" --log-file="$work/munge.log" --seed-file="$work/munge.seed"
slurmctld
slurmd -N n1
slurmd -N n2
until_true() { # seconds, what, command...
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		[ $SECONDS -lt $end ] || die "$what"
		sleep 0.2
	done
}
nodes_are() { [ "$(sinfo -h -N -o %T | sort | uniq -c | xargs)" = "$1" ]; }
until_true 20 "the nodes do not come up: $(sinfo 2>&1)" nodes_are "2 idle"
say "Slurm $(sbatch --version | cut -d' ' -f2) is up: 2 nodes of 1 core"

# --- a hub ---
pema() { "$root/bin/pema" "$@"; }
cache=${PEMA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pema}
mkdir -p "$work/hub/models/pema-test"
cp -r "$cache/sample/splade-tiny" "$work/hub/models/pema-test"
"$root/bin/pema" mirror "$work/hub" --listen 127.0.0.1:0 >"$work/endpoint" 2>"$work/mirror.log" &
echo $! >"$work/mirror.pid"
until_true 10 "the hub does not start" test -s "$work/endpoint"
HF_ENDPOINT=$(sed -n 's/^HF_ENDPOINT=//p' "$work/endpoint")
export HF_ENDPOINT HF_HOME=$work/hf NO_PROXY=127.0.0.1 no_proxy=127.0.0.1
unset HF_HUB_CACHE HF_HUB_OFFLINE HF_TOKEN

# --- the first submission ---
cd "$work"
out=$work/out
submit=(submit "$here/spec.yaml" --out "$out" --device cpu --array-slots 2 --partition debug --json)
first=$(pema "${submit[@]}")
[ "$(jq '.tasks | length' <<<"$first")" = 12 ] || die "12 tasks were to be submitted: $first"
[ "$(jq '.tasks | map(.memory > 1024 * 1024 * 1024) | all' <<<"$first")" = true ] || die "no forecast of memory: $first"
[ -z "$(find "$HF_HOME" -name model.safetensors)" ] || die "pema submit fetched the weights itself"
fetch=$(jq -r '.parts[] | select(.name == "fetch").job' <<<"$first")
array=$(jq -r '.parts[] | select(.name == "run-1").job' <<<"$first")
report=$(jq -r '.parts[] | select(.name == "report").job' <<<"$first")
again=$(pema "${submit[@]}")
[ "$(jq -r '"\(.tasks | length) \(.done + .queued)"' <<<"$again")" = '0 12' ] || die "a call while all is queued submits nothing: $again"

running() { squeue -h -r -j "$array" -t RUNNING -o "$1" 2>/dev/null; }
some_run() { [ -n "$(running %K)" ]; }
# Kill a task that is running; one that was faster than scancel is no kill, so the next is taken.
killed=
for _ in $(seq 12); do
	until_true 60 "no task begins to run" some_run
	index=$(running %K | tail -n 1)
	id=$(jq -r ".tasks[$index].id" <<<"$first")
	scancel --signal=KILL --full "${array}_$index" || continue
	scancel "${array}_$index" || true
	gone() { ! running %K | grep -qx "$index"; }
	until_true 20 "task $index does not end" gone
	if [ ! -e "$out/runs/$id.json" ]; then
		killed=$id
		break
	fi
done
[ -n "$killed" ] || die "no task could be killed in mid-run"
say "task ${array}_$index (run $killed) is killed"

# Drain a node: what runs there ends, nothing new begins, the other node goes on.
scontrol update nodename=n2 state=drain reason=test
until_true 30 "n2 does not drain: $(sinfo -N -o '%N %T')" bash -c '[ "$(sinfo -h -n n2 -o %T)" = drained ]'
have=$(ls "$out"/runs/*.json 2>/dev/null | wc -l)
more() { [ "$(ls "$out"/runs/*.json 2>/dev/null | wc -l)" -gt $((have)) ]; }
until_true 60 "nothing goes on beside the drained node" more
[ -z "$(squeue -h -w n2)" ] || die "a task began on the drained node"
scontrol update nodename=n2 state=resume
say "node n2 was drained and resumed, with $(ls "$out"/runs/*.json | wc -l) records so far"

over() { [ -z "$(squeue -h -j "$1" 2>/dev/null)" ]; }
until_true 240 "the first submission does not end: $(squeue)" over "$report"
[ "$(ls "$out"/runs/*.json | wc -l)" = 11 ] || die "11 of 12 runs were to be there: $(pema submit --status --out "$out")"
[ -s "$out/report.html" ] || die "no report after the first submission"
# Downloads came first: the fetch ended well, and before any task began.
fetched=$(scontrol --oneliner show job "$fetch")
[[ $fetched == *JobState=COMPLETED* ]] || die "the fetch: $fetched"
ended=$(grep -o ' EndTime=[^ ]*' <<<"$fetched" | cut -d= -f2)
began=$(scontrol --oneliner show job "$array" | grep -o ' StartTime=[^ ]*' | cut -d= -f2 | sort | head -n 1)
[[ -n $ended && ! $began < $ended ]] || die "a task began at $began, the fetch ended at $ended"
sum=$(sha256sum <"$cache/sample/splade-tiny/model.safetensors" | cut -d' ' -f1)
[ "$(jq -r '.inputs[] | select(.role == "weights").sha256' "$out"/runs/*.json | sort -u)" = "$sum" ] || die "the records do not name the weights by content"
[ "$(jq -r '.variables.SLURM_ARRAY_JOB_ID' "$out"/runs/*.json | sort -u)" = "$array" ] || die "the records do not name the Slurm job"
state=$(pema submit --status --json --out "$out" | jq -r ".runs[] | select(.id == \"$killed\").state")
case $state in cancelled | failed | missing) ;; *) die "the killed run is told to be $state" ;; esac
say "11 records and a report; the killed run is told to be $state"

# --- the second ---
page=$(stat -c %Y%i "$out/report.html")
sums=$(cd "$out/runs" && sha256sum ./*.json)
second=$(pema "${submit[@]}")
[ "$(jq -r '[.tasks[].id] | join(" ")' <<<"$second")" = "$killed" ] || die "only $killed was to be submitted again: $second"
report=$(jq -r '.parts[] | select(.name == "report").job' <<<"$second")
pema submit --status --wait 180s --out "$out" >"$work/status"
until_true 120 "the second report does not end" over "$report"
[ "$(ls "$out"/runs/*.json | wc -l)" = 12 ] && ! grep -v ' done ' "$work/status" || die "not all are done: $(cat "$work/status")"
(cd "$out/runs" && sha256sum --quiet -c <<<"$sums") || die "a record of the first submission was made again"
[ "$(stat -c %Y%i "$out/report.html")" != "$page" ] || die "the report was not made again"
third=$(pema "${submit[@]}")
[ "$(jq -r '"\(.tasks | length) \(.done)"' <<<"$third")" = '0 12' ] || die "nothing was to be left: $third"
say "the second submission made exactly the missing run, and the report after it: ok in ${SECONDS} s"
