# MODULE PATTERN: what installed kernels lack of it and of what it needs; a removed one has no modules.builtin.
lacking() (
	for builtin in /lib/modules/*/modules.builtin; do
		cd "${builtin%/*}" || continue
		grep -q "/$2\.ko" modules.builtin && continue
		files=$(grep "^[^:]*/$2\.ko" modules.dep | tr -d :) || :
		for file in ${files:-$1.ko}; do
			[ -e "$file" ] || echo "the kernel ${PWD##*/} lacks $file, which $1 needs"
		done
	done
) 2>/dev/null
