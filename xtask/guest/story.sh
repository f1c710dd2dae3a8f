#!/bin/bash
# What an operator sees when the local ports run out, first without portwatch's help, then with it.
#
# In: portwatch, curl and nginx on PATH. Out: a session on stdout; 1 when portwatch counted other failures than
# the client did, or did not start.

# Jobs in the background keep their SIGINT.
set -u -m

url=http://127.0.0.1:8080/
requests=300
ports=100
expected=$((requests - ports))
alone=3
limit=60 # seconds, for each thing that is waited for

work=/tmp/story
mkdir -p $work /tmp/www
head -c 20000 /dev/zero >/tmp/www/body
trace=$work/trace log=$work/client
touch $trace $log

say() { printf '$ %s\n' "$*"; }

# excerpt N: the first lines of stdin, how many more there are that look alike, and what is said below one of them.
excerpt() {
	awk -v shown="$1" '
		function rest() { if (more) printf "… %d more lines like these\n", more; more = 0 }
		/^  / { rest(); print; next }
		shown-- > 0 { print; next }
		{ more++ }
		END { rest() }'
}

give_up() {
	printf 'story: %s\n' "$1"
	cat $trace /var/log/nginx/error.log
	exit 1
}

# wait_for WHAT COMMAND…: until the command succeeds.
wait_for() {
	local what=$1 end=$((SECONDS + limit))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || give_up "waited $limit s in vain for $what"
		sleep 0.1
	done
}

ready() { grep -q '^portwatch: ready' $trace; }
# What the client says of itself, and its own count: 7 is its code for a failed connect().
messages() { grep '^curl: ' $log; }
refusals() { grep -c '^7$' $log; }
all_refused() { [ "$(refusals)" -ge $expected ]; }
ended() { ! kill -0 "$1" 2>/dev/null; }

say "echo 40000 40099 > /proc/sys/net/ipv4/ip_local_port_range   # room for $ports connections"
echo 40000 40099 >/proc/sys/net/ipv4/ip_local_port_range
say 'nginx'
nginx -c /etc/portwatch/nginx.conf || give_up 'nginx did not start'

say 'portwatch trace &'
portwatch trace >$trace 2>&1 &
tracer=$!
wait_for 'portwatch' ready
cat $trace
before=$(wc -l <$trace)

# Exit codes go to stderr too, which curl does not buffer.
client() { curl --no-progress-meter --show-error --output /dev/null --write-out '%{stderr}%{exitcode}\n' "$@" 2>>$log; }

say "curl --parallel … '$url?[1-$requests]' &"
client --parallel --parallel-immediate --parallel-max $requests "$url?[1-$requests]" &
holder=$!
# The shell need not tell when it ends.
disown $holder
wait_for "$expected failures" all_refused
messages | excerpt 3

for ((number = 1; number <= alone; number++)); do
	say "curl $url"
	client $url
	messages | tail -n 1
done
kill -- -$holder
refused=$(refusals)
echo "# that is all the client logs: $refused times, with no word about the reason. portwatch, meanwhile:"
live=$(wc -l <$trace)
sed -n "$((before + 1)),${live}p" $trace | excerpt 5

say 'kill -INT %portwatch'
kill -INT $tracer
wait_for 'the end of portwatch' ended $tracer
wait $tracer
status=$?
tail -n "+$((live + 1))" $trace
[ $status -eq 0 ] || give_up "portwatch ended with status $status"

counted=$(grep -oE '[0-9][0-9,]* fail' $trace | tail -n 1 | tr -cd 0-9)
if [ "$counted" != "$refused" ]; then
	give_up "curl counted $refused failures, portwatch ${counted:-none}"
fi
