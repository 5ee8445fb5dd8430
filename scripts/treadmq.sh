#!/bin/sh
# Starts and stops a TreadMQ broker. POSIX sh, LSB exit codes; works from any
# folder and through symbolic links.
#
#   treadmq.sh start|stop|restart|status|console|reload|kill
#
# Settings are read from /etc/default/treadmq and ~/.treadmqrc, and may be given
# in the environment:
#
#   TREADMQ_HOME  the installation (default: the folder above this script's bin or scripts)
#   TREADMQ_CONF  configuration file (default: $TREADMQ_HOME/conf/treadmq.toml)
#   TREADMQ_DATA  data folder (default: as configured)
#   TREADMQ_LOG   log file (default: as configured, else treadmq.log in the data folder)
#   TREADMQ_PID   file to write the process id to (default: none; status needs none)
#   TREADMQ_OPTS  further options of `treadmq console`
#
# and in the two files alone, as in the environment it is the login of the commands:
#
#   TREADMQ_USER  user to run as when started by root (default: nobody else)
#
# A link to this script that is called treadmq-instance-NAME runs instance NAME:
# its configuration is $TREADMQ_HOME/instances/NAME/conf/treadmq.toml and its data
# folder $TREADMQ_HOME/instances/NAME/data.
set -u

self=$0
instance=
while [ -h "$self" ]; do
    case ${self##*/} in treadmq-instance-*) instance=${self##*/treadmq-instance-} ;; esac
    link=$(ls -ld -- "$self")
    link=${link##*" -> "}
    case $link in
    /*) self=$link ;;
    *) self=$(dirname -- "$self")/$link ;;
    esac
done
here=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd -P) || exit 1

unset TREADMQ_USER
# shellcheck source=/dev/null
if [ -r /etc/default/treadmq ]; then . /etc/default/treadmq; fi
# shellcheck source=/dev/null
if [ -n "${HOME:-}" ] && [ -r "$HOME/.treadmqrc" ]; then . "$HOME/.treadmqrc"; fi

TREADMQ_HOME=${TREADMQ_HOME:-$(dirname -- "$here")}
if [ -n "$instance" ]; then
    TREADMQ_CONF=${TREADMQ_CONF:-$TREADMQ_HOME/instances/$instance/conf/treadmq.toml}
    TREADMQ_DATA=${TREADMQ_DATA:-$TREADMQ_HOME/instances/$instance/data}
fi
config=${TREADMQ_CONF:-$TREADMQ_HOME/conf/treadmq.toml}
program=${TREADMQ_HOME}/bin/treadmq
[ -x "$program" ] || program=$(command -v treadmq) || {
    echo "treadmq: there is no program at $TREADMQ_HOME/bin/treadmq and none on the PATH; set TREADMQ_HOME" >&2
    exit 5
}

usage() {
    echo "usage: ${0##*/} start|stop|restart|status|console|reload|kill [options of treadmq console]" >&2
    exit 2
}

# as runs the program as TREADMQ_USER when root started us.
as() {
    if [ -n "${TREADMQ_USER:-}" ] && [ "$(id -u)" = 0 ] && [ "$(id -un)" != "$TREADMQ_USER" ]; then
        if command -v runuser >/dev/null 2>&1; then
            runuser -u "$TREADMQ_USER" -- "$@"
        else
            # shellcheck disable=SC2016 # the inner shell expands them
            su -s /bin/sh "$TREADMQ_USER" -c 'exec "$0" "$@"' -- "$@"
        fi
    else
        "$@"
    fi
}

task=${1:-}
[ $# -gt 0 ] && shift
# shellcheck disable=SC2086 # several options, split on purpose
set -- ${TREADMQ_OPTS:-} "$@"
[ -n "${TREADMQ_LOG:-}" ] && set -- --set "log.file=$TREADMQ_LOG" "$@"
[ -n "${TREADMQ_DATA:-}" ] && set -- --data "$TREADMQ_DATA" "$@"
if [ -r "$config" ]; then
    set -- --config "$config" "$@"
elif [ -n "${TREADMQ_CONF:-}" ]; then
    echo "treadmq: the configuration $config cannot be read" >&2
    exit 6
fi
# Relative paths of the configuration start in the installation.
cd -- "$TREADMQ_HOME" || exit 1

pidfile() {
    [ -n "${TREADMQ_PID:-}" ] || return 0
    if pid=$("$program" status "$@" 2>/dev/null | sed -n 's/^pid  *//p') && [ -n "$pid" ]; then
        echo "$pid" >"$TREADMQ_PID"
    else
        rm -f -- "$TREADMQ_PID"
    fi
}

# lsb ends with an exit code as init scripts have them: of the program's own, those that the LSB has a code for.
lsb() {
    case $1 in
    3) exit 7 ;;  # not running
    64) exit 2 ;; # wrong usage
    77) exit 4 ;; # not allowed
    78) exit 6 ;; # not configured
    esac
    exit "$1"
}

case $task in
console) as "$program" console "$@" ;;
start)
    if "$program" status "$@" >/dev/null 2>&1; then
        echo "treadmq runs already" >&2
        "$program" status "$@"
        exit 0
    fi
    as "$program" start "$@"
    code=$?
    pidfile "$@"
    lsb $code
    ;;
stop | restart | kill)
    as "$program" "$task" "$@"
    code=$?
    pidfile "$@"
    lsb $code
    ;;
reload)
    as "$program" reload "$@"
    lsb $?
    ;;
status) as "$program" status "$@" ;;
*) usage ;;
esac
