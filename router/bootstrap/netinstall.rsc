# What this site's router is given when it is installed or reset, in the place of
# the manufacturer's configuration. It takes the appliance in, on one VLAN of one
# port, and nobody else. Afterwards: provision router bootstrap
#
# This file holds a password. When the way in is lost, a reset button or the serial
# console is what is left: neighbours by MAC address are not let in either.

# 1. Only what is used listens.
{{range .Closed}}:do { /ip/service/set {{.}} disabled=yes } on-error={ :log error "provision: a service stays on" }
{{end -}}
:do { /ip/service/set ssh address={{quote .From}} } on-error={ :log error "provision: ssh stays open" }
:do { /ip/service/set api-ssl address={{quote .From}} disabled=yes } on-error={ :log error "provision: api-ssl stays open" }

# IPv6 would pass by the rules below, and the MAC server by every rule there is.
:do { /ipv6/settings/set disable-ipv6=yes } on-error={ :log error "provision: IPv6 stays on" }
:do { /tool/mac-server/set allowed-interface-list=none } on-error={ :log error "provision: the MAC server stays open" }
:do { /tool/mac-server/mac-winbox/set allowed-interface-list=none } on-error={ :log error "provision: the MAC server stays open" }
:do { /tool/mac-server/ping/set enabled=no } on-error={ :log error "provision: the MAC server stays open" }

# 2. Only the appliance is listened to.
:do { /ip/firewall/filter/remove [find where comment~"^provision:bootstrap/"] } on-error={}
:do { /ip/firewall/filter/add chain=input action=accept connection-state=established,related comment="provision:bootstrap/established" } on-error={ :log error "provision: a firewall rule is missing" }
{{range .Sources}}:do { /ip/firewall/filter/add chain=input action=accept src-address={{quote .}} comment={{quote (printf "provision:bootstrap/from-%s" .)}} } on-error={ :log error "provision: a firewall rule is missing" }
{{end -}}
:do { /ip/firewall/filter/add chain=input action=drop comment="provision:bootstrap/others" } on-error={ :log error "provision: a firewall rule is missing" }

# 3. Who logs in.
{{if eq .User "admin" -}}
:do { /user/set [find where name="admin"] password={{quote .Password}} } on-error={ :log error "provision: the password is not set" }
{{- else -}}
:do {
  :if ([:len [/user/find where name={{quote .User}}]] = 0) do={
    /user/add name={{quote .User}} group=full password={{quote .Password}}
  } else={
    /user/set [find where name={{quote .User}}] group=full password={{quote .Password}}
  }
  /user/set [find where name="admin"] disabled=yes
} on-error={ :log error "provision: the user is not set" }
{{- end}}

# 4. The way in: the ports appear some seconds after the start.
:local waited 0
:while (([:len [/interface/ethernet/find where name={{quote .Interface}}]] = 0) and ($waited < 60)) do={
  :delay 1s
  :set waited ($waited + 1)
}
:do {
  :if ([:len [/interface/vlan/find where comment="provision:bootstrap/vlan"]] = 0) do={
    /interface/vlan/add name="{{.Name}}" interface={{quote .Interface}} vlan-id={{.VLAN}} comment="provision:bootstrap/vlan"
  }
  :if ([:len [/ip/address/find where comment="provision:bootstrap/address"]] = 0) do={
    /ip/address/add address={{quote .Address}} interface="{{.Name}}" comment="provision:bootstrap/address"
  }
} on-error={ :log error "provision: the way in is not there" }

# 5. The API, with a certificate of its own: without one it offers anonymous
# Diffie-Hellman only. Making it takes the router some seconds.
:do {
  :if ([:len [/certificate/find where name="{{.Certificate}}"]] = 0) do={
    /certificate/add name="{{.Certificate}}" common-name={{quote .CommonName}} key-size=2048 days-valid=3650
  }
  :if ([:len [/certificate/find where name="{{.Certificate}}" and fingerprint~"."]] = 0) do={
    /certificate/sign "{{.Certificate}}"
  }
} on-error={ :log error "provision: there is no certificate" }
:local opened false
:local tries 0
:while ((!$opened) and ($tries < 120)) do={
  :do {
    :if ([:len [/certificate/find where name="{{.Certificate}}" and fingerprint~"."]] = 0) do={ :error "not signed yet" }
    /ip/service/set api-ssl certificate="{{.Certificate}}" disabled=no
    :set opened true
  } on-error={ :delay 1s }
  :set tries ($tries + 1)
}
:if ($opened) do={
  :log info "provision: ready to be taken over"
} else={
  :log error "provision: api-ssl stays off"
}
