#!/bin/sh
# Lets a node that lost its data (its volume, its folder) back into its cluster, which must run and keep snapshots:
#
#   scripts/restore-node.sh 2 restatectl --address http://127.0.0.1:5122
#   scripts/restore-node.sh 2 docker compose -f docker-compose.cluster.yml exec -T restate-1 restatectl
#
# The first argument is the node's number, the others run `restatectl` against a node that lives. Start the node once before, so that
# it finds out and says so (`data-loss` in its log), and again afterwards. docs/restore.md says what each step is for.
set -eu
[ $# -ge 2 ] || { echo "usage: restore-node.sh NODE-NUMBER RESTATECTL..." >&2; exit 2; }
node=$1
shift
case $node in
  *[!0-9]*) echo "error: the first argument is the node's number, not \`$node\`" >&2; exit 2 ;;
esac
said=$(mktemp)
trap 'rm -f "$said"' EXIT

# What restatectl prints. What went wrong otherwise, in its own words: no node, or another version, is no node without data.
ask() {
  "$@" 2>"$said" || {
    cat "$said" >&2
    echo "error: restatectl failed, see above; does a node live where it asks?" >&2
    exit 4
  }
}

# The node's storage state, and how many logs count on it.
field() {
  servers=$(ask "$@" replicated-loglet servers) || exit
  printf '%s\n' "$servers" | awk -v node="N$node" '$1 == node { print $3, $4 + $5 }'
}

state=$(field "$@") || exit
case $state in
  data-loss\ *) ;;
  '') echo "error: the cluster knows no node $node" >&2; exit 2 ;;
  *) echo "error: node $node has storage state ${state% *}, not data-loss: start it once without its data first" >&2; exit 2 ;;
esac

# New segments of all logs, on the nodes that are left.
last=$(ask "$@" sql --jsonl 'select max(partition_id) as last from partition_state') || exit
last=$(printf '%s' "$last" | sed 's/[^0-9]//g')
[ -n "$last" ] || { echo "error: the cluster does not tell its partitions; nothing was changed" >&2; exit 4; }
ask "$@" logs reconfigure --log-id "0-$last" --yes > /dev/null
# All that the older segments hold goes into snapshots; then nothing asks the lost node for its copies any more. Some logs drop
# their older segments only with the second snapshot.
rounds=0
until [ "$state" = "data-loss 0" ]; do
  rounds=$((rounds + 1))
  [ "$rounds" -le 10 ] || { echo "error: logs still count on node $node; try again" >&2; exit 4; }
  ask "$@" snapshots create --trim-log --yes
  sleep 3
  state=$(field "$@") || exit
done
# Safe now, which `restatectl` cannot know.
ask "$@" nodes set-storage-state --nodes "$node" --storage-state provisioning --force --yes
# Its place among the metadata servers was its old storage's; the node joins again by itself.
ask "$@" metadata-server remove-node "$node" --yes
echo "node $node may be started again"
