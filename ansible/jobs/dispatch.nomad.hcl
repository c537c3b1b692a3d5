# Any playbook of any commit, on every host: for people who dispatch it in
# Nomad's pages. The appliance has a job for each host.
job "ansible" {
  type        = "sysbatch"
  datacenters = ["*"]
  node_pool   = "all"

  parameterized {
    payload       = "forbidden"
    meta_required = ["COMMIT", "ANSIBLE_PLAYBOOK"]
  }

{{ template "group" . }}
}
