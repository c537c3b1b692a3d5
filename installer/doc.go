// Package installer holds what an install is made of: the plan that the
// appliance computes and the agent carries out, the words in which they speak,
// and the scripts that the agent leaves on the installed system. The agent
// itself is in installer/agent.
package installer
