#!/usr/bin/env bash
# Makes a small internet of network namespaces, for tests of how peers behind NAT reach each other:
#
#   PREFIX-server (11.0.0.1, relay.test) ── switch ──┬── router ── PREFIX-cone-a, PREFIX-cone-b
#                                                    ├── router ── PREFIX-symmetric-a, …-b
#                                                    ├── router ── PREFIX-noudp-a, …-b
#                                                    ├── router ── PREFIX-web-a, …-b
#                                                    └── PREFIX-open-a, …-b
#
# A client is alone behind its router (nftables): cone: full cone, one address is the other, in and out;
# open: no router, but an address of its own on the switch; symmetric: another port for each destination, replies only; noudp: UDP is dropped; web: nothing but TCP 443 passes.
#   scripts/nat.sh up PREFIX [KIND…]   prints the clients' namespaces; all kinds but open by default
#   scripts/nat.sh down PREFIX         removes everything
# Needs root, iproute2 and nftables. No packet leaves the namespaces. PREFIX: up to 8 letters and digits.
set -eEuo pipefail
PATH=$PATH:/usr/sbin:/sbin

kinds=(cone symmetric noudp web)

rules() { # rules KIND ADDRESS
  case $1 in
    cone) cat <<EOF
table ip nat {
  chain pre { type nat hook prerouting priority dstnat; iifname "out" dnat to 192.168.1.2; }
  chain post { type nat hook postrouting priority srcnat; oifname "out" snat to $2; }
}
EOF
      ;;
    symmetric) cat <<EOF
table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "out" masquerade fully-random;
}
}
table ip filter { chain forward { type filter hook forward priority filter; policy drop; iifname "in" accept; ct state established,related accept;
}
}
EOF
      ;;
    noudp) cat <<EOF
table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "out" masquerade;
}
}
table ip filter { chain forward { type filter hook forward priority filter; policy drop; meta l4proto udp drop; iifname "in" accept; ct state established,related accept;
}
}
EOF
      ;;
    web) cat <<EOF
table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "out" masquerade;
}
}
table ip filter { chain forward { type filter hook forward priority filter; policy drop; iifname "in" tcp dport 443 accept; ct state established accept;
}
}
EOF
      ;;
  esac
}

# In a client's and the server's namespace, relay.test is the server.
names() {
  mkdir -p "/etc/netns/$1"
  printf '127.0.0.1 localhost\n11.0.0.1 relay.test\n' >"/etc/netns/$1/hosts"
}

up() {
  local p=$1 i=10 kind side n r
  ip netns add "$p-net"
  ip -n "$p-net" link add br0 type bridge
  ip -n "$p-net" link set br0 up
  ip netns add "$p-server"
  names "$p-server"
  ip link add eth0 netns "$p-server" type veth peer name server netns "$p-net"
  ip -n "$p-net" link set server master br0 up
  ip -n "$p-server" -batch - <<EOF
addr add 11.0.0.1/24 dev eth0
link set lo up
link set eth0 up
EOF
  for kind in "${kinds[@]}"; do
    for side in a b; do
      i=$((i + 1)) n=$p-$kind-$side r=$p-$kind-$side-nat
      ip netns add "$n"
      if [ "$kind" = open ]; then
        names "$n"
        ip link add eth0 netns "$n" type veth peer name "p$i" netns "$p-net"
        ip -n "$p-net" link set "p$i" master br0 up
        ip -n "$n" addr add "11.0.0.$i/24" dev eth0
        ip -n "$n" link set lo up
        ip -n "$n" link set eth0 up
        echo "$n"
        continue
      fi
      ip netns add "$r"
      names "$n"
      ip link add out netns "$r" type veth peer name "p$i" netns "$p-net"
      ip link add in netns "$r" type veth peer name eth0 netns "$n"
      ip -n "$p-net" link set "p$i" master br0 up
      ip -n "$r" -batch - <<EOF
addr add 11.0.0.$i/24 dev out
addr add 192.168.1.1/24 dev in
link set out up
link set in up
EOF
      ip -n "$n" -batch - <<EOF
addr add 192.168.1.2/24 dev eth0
link set lo up
link set eth0 up
route add default via 192.168.1.1
EOF
      ip netns exec "$r" sysctl -qw net.ipv4.ip_forward=1
      rules "$kind" "11.0.0.$i" | ip netns exec "$r" nft -f -
      echo "$n"
    done
  done
}

down() {
  local n
  for n in $(ip netns list | awk -v p="$1-" 'index($1, p) == 1 { print $1 }'); do
    rm -rf "/etc/netns/$n"
    ip netns del "$n"
  done
}

[[ ${2:-} =~ ^[a-z0-9]{1,8}$ ]] || { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
case $1 in
  up)
    trap 'down "$2"' ERR
    [ $# -eq 2 ] || kinds=("${@:3}")
    up "$2"
    ;;
  down) down "$2" ;;
esac
