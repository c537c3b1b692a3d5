package routertest

// coreCommands are the commands that are no verbs on rows, beside those of
// safe mode, history, scripts and backups.
func (r *Router) coreCommands() map[string]command {
	return map[string]command{
		"/certificate/sign": {
			params: []string{".id", "numbers", "number", "name", "ca", "ca-crl-host", "as-authority"},
			run:    (*Router).signCommand,
		},
		"/ip/dhcp-server/lease/make-static": {params: []string{".id", "numbers"}, run: (*Router).makeStatic},
		"/password": {
			params: []string{"old-password", "new-password", "confirm-new-password"}, needs: "password",
			run: (*Router).changePassword,
		},
		"/ip/firewall/filter/reset-counters-all": {run: nothing},
		"/ip/firewall/nat/reset-counters-all":    {run: nothing},
	}
}

// nothing is a command that alters nothing which can be seen.
func nothing(*Router, *call) ([]record, error) { return nil, nil }

// makeStatic turns a dynamic lease into a configured one.
func (r *Router) makeStatic(c *call) ([]record, error) {
	rows, err := r.targets(c)
	if err != nil {
		return nil, err
	}
	var edits []edit
	for _, old := range rows {
		if !old.dynamic() {
			return nil, trap(categoryGeneral, "failure: lease is already static") // [?]
		}
		kept := old.clone()
		kept.origin = ""
		_, at := c.table.find(old.id)
		edits = append(edits, edit{menu: c.table.path, before: old, after: kept, at: at, to: at})
	}
	r.change(c.session, c.table.path, "make-static", edits...)
	return nil, nil
}

// changePassword is /password: the session's own user gets another one.
func (r *Router) changePassword(c *call) ([]record, error) {
	t := r.tables["/user"]
	account := t.named(c.session.user)
	if account == nil {
		return nil, errNoItem
	}
	given := map[string]string{}
	for _, a := range c.args {
		given[a.name] = a.value
	}
	if given["old-password"] != account.fields["password"] {
		return nil, trap(categoryGeneral, "failure: wrong old password") // [?]
	}
	if given["new-password"] != given["confirm-new-password"] {
		return nil, trap(categoryGeneral, "failure: passwords do not match") // [?]
	}
	altered := account.clone()
	altered.fields["password"] = given["new-password"]
	_, at := t.find(account.id)
	r.change(c.session, t.path, "set", edit{menu: t.path, before: account, after: altered, at: at, to: at})
	return nil, nil
}
