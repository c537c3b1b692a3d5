package routertest

// login takes name and password, as routers do from 6.43 on.
func (c *conn) login(args []arg) error {
	r := c.router
	var name, password string
	for _, a := range args {
		switch a.name {
		case "name":
			name = a.value
		case "password":
			password = a.value
		}
	}
	account := r.tables["/user"].named(name)
	if account == nil || !account.on() || account.fields["password"] != password || !inAny(account.fields["address"], c.from) {
		r.log("system,error,critical", "login failure for user "+name+" from "+c.from.String()+" via api")
		return errWrongPassword
	}
	if c.session != nil {
		r.drop(c.session) // a second login takes the first one's place
	}
	r.lastID++
	c.session = &session{
		id: r.lastID, user: name, via: "api-ssl", policy: r.policyOf(account), conn: c,
		remote: c.remote(), since: r.clock.Now(),
	}
	r.sessions[c.session] = true
	r.log("system,info,account", "user "+name+" logged in from "+c.from.String()+" via api")
	r.derive()
	return nil
}

// policyOf is what the account's group may do.
func (r *Router) policyOf(account *row) string {
	id, _ := parseID(account.fields["group"])
	if group, _ := r.tables["/user/group"].find(id); group != nil {
		return group.fields["policy"]
	}
	return ""
}

// drop forgets a session.
func (r *Router) drop(s *session) {
	delete(r.sessions, s)
	r.log("system,info,account", "user "+s.user+" logged out from "+s.remote.Addr().String()+" via api")
	r.derive()
}
