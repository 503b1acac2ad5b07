# bash completion of tlbc. Commands and options come from the program's own --help, so that they are never out of date.
_tlbc() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} tlbc=${COMP_WORDS[0]}
    COMPREPLY=()
    if [ "$COMP_CWORD" = 1 ]; then
        local commands
        commands=$("$tlbc" --help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')
        mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$current")
        return
    fi
    case $previous in
    --emit) mapfile -t COMPREPLY < <(compgen -W "so obj header asm llvm loop graph" -- "$current"); return ;;
    --math) mapfile -t COMPREPLY < <(compgen -W "strict default fast" -- "$current"); return ;;
    --simplify) mapfile -t COMPREPLY < <(compgen -W "none classic egraph" -- "$current"); return ;;
    --weights) mapfile -t COMPREPLY < <(compgen -W "embed file" -- "$current"); return ;;
    --constants) mapfile -t COMPREPLY < <(compgen -W "hash full none" -- "$current"); return ;;
    --cpu)
        mapfile -t COMPREPLY < <(compgen -W "$("$tlbc" compile --list-cpus 2>/dev/null | sed 's/ .*//')" -- "$current")
        return
        ;;
    --state | --stream | --entry | --streams | --dim | --runs | --threads | --seed) return ;; # no files
    --passes | --skip | --print-only | --explain)
        mapfile -t COMPREPLY < <(compgen -W "default $("$tlbc" opt --list 2>/dev/null | sed 's/ .*//')" -- "$current")
        return
        ;;
    esac
    if [[ $current == -* ]]; then
        local options
        options=$("$tlbc" "${COMP_WORDS[1]}" --help 2>/dev/null | grep -oE '^  .{4}--[a-z-]+|--help' | sed 's/^ *//; s/^-., *//')
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}
complete -o filenames -F _tlbc tlbc
