# Functions for the scripts that must work when no program of Sallyport runs. They source this file.
# SALLYPORT_CONSOLE, SALLYPORT_CONSOLE_BAUD: the console's serial line, set by the image.
# SALLYPORT_ROOT, SALLYPORT_CONSOLE_S: for tests, another root directory, and how long to wait for
# the line.
root=${SALLYPORT_ROOT:-}

# say LINE
say() {
  # The line may not be set up yet. It may also accept no bytes, because the process that has it
  # open stopped the output; that must not hold up the machine, so the wait is bounded. timeout
  # gives the child a process group of its own, so the line does not become this script's terminal,
  # whose Ctrl-C would end it. The \r is for a process that has the line in raw mode.
  timeout -k 5 "${SALLYPORT_CONSOLE_S:-20}" /bin/sh -c '
    [ -z "${SALLYPORT_CONSOLE_BAUD:-}" ] || stty -F "$SALLYPORT_CONSOLE" clocal "$SALLYPORT_CONSOLE_BAUD" || :
    printf "\r\nsallyport: %s\r\n" "$1" > "${SALLYPORT_CONSOLE:-/dev/console}"' say "$*" || :
}

# The slot of this boot, a or b, from the add-on beside its kernel; empty when it is unknown.
slot=$(sed -n 's/^\(.* \)\{0,1\}sallyport\.slot=\([ab]\)\( .*\)\{0,1\}$/\2/p' "$root/proc/cmdline" 2> /dev/null)
