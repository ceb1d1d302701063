#!/bin/sh
# sources.sh CODENAME APT SUITE: writes sources of Debian's SUITE in apt's format (sources.list(5)).
# They are the sources of this machine, whose Debian is CODENAME, from APT (/etc/apt), with the name
# of the suite replaced: with its updates and security updates where the machine has sources of
# these, and without components other than main.
set -u
codename=$1 apt=$2 suite=$3

wanted='
  function is_wanted(word) { return word == own || word == own "-updates" || word == own "-security" }
  function renamed(word) { return suite substr(word, length(own) + 1) }'

# One paragraph per source.
if [ -f "$apt/sources.list.d/debian.sources" ]; then
  sed '/^#/d' "$apt/sources.list.d/debian.sources" | awk -v own="$codename" -v suite="$suite" "$wanted"'
    BEGIN { RS = ""; FS = "\n" }
    {
      suites = ""; main = 0; rest = ""; on = 1
      for (line = 1; line <= NF; line++) {
        count = split($line, words, /[ \t]+/)
        if (words[1] == "Suites:") { for (at = 2; at <= count; at++) if (is_wanted(words[at])) suites = suites " " renamed(words[at]) }
        else if (words[1] == "Components:") { for (at = 2; at <= count; at++) if (words[at] == "main") main = 1 }
        else if (words[1] == "Enabled:") { if (words[2] == "no") on = 0 }
        else if (words[1] != "Types:") rest = rest $line "\n"
      }
      if (on && main && suites != "") printf "Types: deb\nSuites:%s\nComponents: main\n%s\n", suites, rest
    }'
fi

# One line per source: type, options, URI, suite, components.
for file in "$apt/sources.list" "$apt"/sources.list.d/*.list; do
  [ -f "$file" ] || continue
  awk -v own="$codename" -v suite="$suite" "$wanted"'
    $1 == "deb" {
      at = 2; options = ""
      if ($2 ~ /^\[/) { options = "[" $2; while ($at !~ /\]$/ && at < NF) options = options " " $++at; options = substr(options, 2); at++ }
      main = 0
      for (component = at + 2; component <= NF; component++) if ($component == "main") main = 1
      if (!main || $at !~ /debian/ || !is_wanted($(at + 1))) next
      sub(/^\[[ \t]*/, "", options); sub(/[ \t]*\]$/, "", options)
      print "Types: deb\nSuites: " renamed($(at + 1)) "\nComponents: main\nURIs: " $at
      if (match(options, /signed-by=[^ \t]+/)) print "Signed-By: " substr(options, RSTART + 10, RLENGTH - 10)
      print ""
    }' "$file"
done
