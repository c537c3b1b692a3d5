# What this site's router is given when it is installed or reset, in the place of
# the manufacturer's configuration. It takes the appliance in, on one VLAN of one
# port, and nobody else. Afterwards: provision router bootstrap
#
# This file holds a password. When the way in is lost, a reset button or the serial
# console is what is left: neighbours by MAC address are not let in either.

# 1. Only what is used listens.
:do { /ip/service/set telnet disabled=yes } on-error={ :log error "provision: a service stays on" }
:do { /ip/service/set ftp disabled=yes } on-error={ :log error "provision: a service stays on" }
:do { /ip/service/set www disabled=yes } on-error={ :log error "provision: a service stays on" }
:do { /ip/service/set www-ssl disabled=yes } on-error={ :log error "provision: a service stays on" }
:do { /ip/service/set api disabled=yes } on-error={ :log error "provision: a service stays on" }
:do { /ip/service/set winbox disabled=yes } on-error={ :log error "provision: a service stays on" }
:do { /ip/service/set ssh address="198.51.100.2/32,192.0.2.2/32" } on-error={ :log error "provision: ssh stays open" }
:do { /ip/service/set api-ssl address="198.51.100.2/32,192.0.2.2/32" disabled=yes } on-error={ :log error "provision: api-ssl stays open" }

# IPv6 would pass by the rules below, and the MAC server by every rule there is.
:do { /ipv6/settings/set disable-ipv6=yes } on-error={ :log error "provision: IPv6 stays on" }
:do { /tool/mac-server/set allowed-interface-list=none } on-error={ :log error "provision: the MAC server stays open" }
:do { /tool/mac-server/mac-winbox/set allowed-interface-list=none } on-error={ :log error "provision: the MAC server stays open" }
:do { /tool/mac-server/ping/set enabled=no } on-error={ :log error "provision: the MAC server stays open" }

# 2. Only the appliance is listened to.
:do { /ip/firewall/filter/remove [find where comment~"^provision:bootstrap/"] } on-error={}
:do { /ip/firewall/filter/add chain=input action=accept connection-state=established,related comment="provision:bootstrap/established" } on-error={ :log error "provision: a firewall rule is missing" }
:do { /ip/firewall/filter/add chain=input action=accept src-address="198.51.100.2" comment="provision:bootstrap/from-198.51.100.2" } on-error={ :log error "provision: a firewall rule is missing" }
:do { /ip/firewall/filter/add chain=input action=accept src-address="192.0.2.2" comment="provision:bootstrap/from-192.0.2.2" } on-error={ :log error "provision: a firewall rule is missing" }
:do { /ip/firewall/filter/add chain=input action=drop comment="provision:bootstrap/others" } on-error={ :log error "provision: a firewall rule is missing" }

# 3. Who logs in.
:do { /user/set [find where name="admin"] password="say \"friend\" for \$5 \\o/\?" } on-error={ :log error "provision: the password is not set" }

# 4. The way in: the ports appear some seconds after the start.
:local waited 0
:while (([:len [/interface/ethernet/find where name="ether1"]] = 0) and ($waited < 60)) do={
  :delay 1s
  :set waited ($waited + 1)
}
:do {
  :if ([:len [/interface/vlan/find where comment="provision:bootstrap/vlan"]] = 0) do={
    /interface/vlan/add name="bootstrap" interface="ether1" vlan-id=99 comment="provision:bootstrap/vlan"
  }
  :if ([:len [/ip/address/find where comment="provision:bootstrap/address"]] = 0) do={
    /ip/address/add address="198.51.100.1/24" interface="bootstrap" comment="provision:bootstrap/address"
  }
} on-error={ :log error "provision: the way in is not there" }

# 5. The API, with a certificate of its own: without one it offers anonymous
# Diffie-Hellman only. Making it takes the router some seconds.
:do {
  :if ([:len [/certificate/find where name="provision"]] = 0) do={
    /certificate/add name="provision" common-name="matrix-router" key-size=2048 days-valid=3650
  }
  :if ([:len [/certificate/find where name="provision" and fingerprint~"."]] = 0) do={
    /certificate/sign "provision"
  }
} on-error={ :log error "provision: there is no certificate" }
:local opened false
:local tries 0
:while ((!$opened) and ($tries < 120)) do={
  :do {
    :if ([:len [/certificate/find where name="provision" and fingerprint~"."]] = 0) do={ :error "not signed yet" }
    /ip/service/set api-ssl certificate="provision" disabled=no
    :set opened true
  } on-error={ :delay 1s }
  :set tries ($tries + 1)
}
:if ($opened) do={
  :log info "provision: ready to be taken over"
} else={
  :log error "provision: api-ssl stays off"
}
