# What the scripts share that must work when nothing of ours runs. They source it.
# SALLYPORT_CONSOLE, SALLYPORT_CONSOLE_BAUD: the line of our console, set by the image.
# SALLYPORT_ROOT, SALLYPORT_CONSOLE_S: another place, and how long the line is waited for, for tests.
root=${SALLYPORT_ROOT:-}

# say LINE
say() {
  # Nobody may have set the line up yet. And one that takes nothing, because whoever has it open stopped it, must not keep the machine: it is not waited for. In a
  # process group of its own (timeout) it does not become our terminal either, whose Ctrl-C would end us. \r: whoever has the line may have it raw.
  timeout -k 5 "${SALLYPORT_CONSOLE_S:-20}" /bin/sh -c '
    [ -z "${SALLYPORT_CONSOLE_BAUD:-}" ] || stty -F "$SALLYPORT_CONSOLE" clocal "$SALLYPORT_CONSOLE_BAUD" || :
    printf "\r\nsallyport: %s\r\n" "$1" > "${SALLYPORT_CONSOLE:-/dev/console}"' say "$*" || :
}

# Which slot this boot is of, as the add-on beside its kernel says: a, b, or nothing.
slot=$(sed -n 's/^\(.* \)\{0,1\}sallyport\.slot=\([ab]\)\( .*\)\{0,1\}$/\2/p' "$root/proc/cmdline" 2> /dev/null)
