package publish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Publisher makes and pushes images. Image and Base must be set.
type Publisher struct {
	Image    string // REGISTRY/NAME, without a tag
	Base     string // a reference, or a file: docker save's, an OCI layout, a root file system
	Folder   string // that relative file names in Base count from
	Path     string // folder of the playbooks in the image
	Platform string // OS/ARCHITECTURE of Base; linux/amd64 when empty
	Insecure bool   // the registry may speak plain HTTP

	// Required lists files that the revision must have, counted from its folder:
	// the playbooks that hosts are going to run.
	Required []string

	Keychain authn.Keychain                    // logins; those of Docker and Podman when nil
	Progress func(name string, done, of int64) // what is sent, in bytes; may be nil
	Note     func(line string)                 // what people should know; may be nil
	backoff  remote.Backoff                    // tests have no patience
}

// Published is an image in a registry.
type Published struct {
	Image   string        `json:"image"` // with its tag
	Commit  string        `json:"commit"`
	Digest  string        `json:"digest"` // of the manifest, with its algorithm
	Files   int           `json:"files"`
	Layers  int           `json:"layers"`
	New     int           `json:"new"`     // layers that the registry did not have
	Sent    int64         `json:"sent"`    // bytes of them
	Took    time.Duration `json:"took"`    // ns
	Ignored []string      `json:"ignored"` // what the working tree has beside the commit
}

// Publish makes the image of r and pushes it. The tag is written last and at
// once: an image that can be pulled is whole. Errors are ErrRevision, ErrBase or
// one of the registry's, and say what to do.
func (p Publisher) Publish(ctx context.Context, r Revision) (Published, error) {
	began := time.Now()
	root, err := p.root()
	if err != nil {
		return Published{}, err
	}
	files, err := r.layer(ctx, root, types.DockerLayer)
	if err != nil {
		return Published{}, err
	}
	if err := p.check(r, files.names); err != nil {
		return Published{}, err
	}
	reg, err := p.connect(ctx)
	if err != nil {
		return Published{}, err
	}
	below, err := p.openBase(ctx, reg)
	if err != nil {
		return Published{}, err
	}
	out, err := p.push(ctx, reg, below, r, files)
	out.Took = time.Since(began)
	return out, errors.Join(err, below.close())
}

func (p Publisher) push(ctx context.Context, reg *registry, below base, r Revision, files *files) (Published, error) {
	out := Published{Commit: r.Commit, Files: len(files.names), Ignored: slices.Clone(r.Dirty)}
	up := &upload{registry: reg, progress: p.Progress}
	image, err := up.base(ctx, below)
	if err != nil {
		return out, err
	}
	image, err = above(image, files, r, cmp.Or(p.Path, DefaultPath))
	if err != nil {
		return out, fmt.Errorf("%w %s: %w", ErrBase, p.Base, err)
	}
	tag := reg.repo.Tag(r.Commit)
	if err := up.image(ctx, tag, image); err != nil {
		return out, explain(reg.repo.Registry, err)
	}
	digest, err := image.Digest()
	if err != nil {
		return out, err
	}
	layers, err := image.Layers()
	if err != nil {
		return out, err
	}
	out.Image, out.Digest, out.Layers = tag.String(), digest.String(), len(layers)
	out.New, out.Sent = up.layers, up.sent
	return out, nil
}

// DefaultPath is the folder of the playbooks in an image.
const DefaultPath = "/ansible"

// systemFolders are links or have modes of their own in usual images: a layer that
// has them anew would break what is below.
var systemFolders = []string{"bin", "dev", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "tmp"}

func (p Publisher) root() (string, error) {
	root := path.Clean(cmp.Or(p.Path, DefaultPath))
	first, _, _ := strings.Cut(strings.TrimPrefix(root, "/"), "/")
	if !path.IsAbs(root) || root == "/" || slices.Contains(systemFolders, first) {
		return "", fmt.Errorf("config.path: %s cannot be the folder of the playbooks: name one of their own, such as %s", root, DefaultPath)
	}
	return root, nil
}

// check refuses a revision with which every host would fail, and tells what may
// surprise.
func (p Publisher) check(r Revision, names []string) error {
	for _, f := range p.Required {
		if !slices.Contains(names, path.Clean(f)) {
			return fmt.Errorf("%w: commit %s has no %s, which hosts are to run: commit it, or look at playbooks in the configuration", ErrRevision, r.Commit, f)
		}
	}
	if slices.Contains(names, ".dockerignore") {
		p.note(".dockerignore is not read here, since no Dockerfile is: export-ignore in .gitattributes leaves files out")
	}
	return nil
}

func (p Publisher) note(line string) {
	if p.Note != nil {
		p.Note(line)
	}
}

// platform is what Base is for.
func (p Publisher) platform() v1.Platform {
	os, arch, _ := strings.Cut(cmp.Or(p.Platform, "linux/amd64"), "/")
	arch, variant, _ := strings.Cut(arch, "/")
	return v1.Platform{OS: os, Architecture: arch, Variant: variant}
}

// Labels of the OCI image specification, and of ours.
const (
	labelRevision = "org.opencontainers.image.revision"
	labelCreated  = "org.opencontainers.image.created"
	labelBase     = "org.opencontainers.image.base.digest"
)

// above puts the revision's files above base. Nothing in the image tells when or
// where it was made.
func above(base v1.Image, files *files, r Revision, workdir string) (v1.Image, error) {
	below, err := base.Digest()
	if err != nil {
		return nil, err
	}
	config, err := base.ConfigFile()
	if err != nil {
		return nil, err
	}
	if config.Config.Labels[labelBase] != "" && config.Config.Labels[labelRevision] != "" && config.Config.WorkingDir == workdir {
		return nil, fmt.Errorf("it is one that was published here, with the playbooks of commit %s in it, which would shine through: name the image below that", config.Config.Labels[labelRevision])
	}
	media, err := base.MediaType()
	if err != nil {
		return nil, err
	}
	layerMedia := types.DockerLayer
	if media == types.OCIManifestSchema1 {
		layerMedia = types.OCILayer
	}
	image, err := mutate.Append(base, mutate.Addendum{
		Layer: files, MediaType: layerMedia,
		History: v1.History{Created: v1.Time{Time: r.Date}, CreatedBy: "provision config publish", Comment: r.Commit},
	})
	if err != nil {
		return nil, err
	}
	if config, err = image.ConfigFile(); err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.Created = v1.Time{Time: r.Date}
	config.Config.WorkingDir = workdir
	if config.Config.Labels == nil {
		config.Config.Labels = map[string]string{}
	}
	config.Config.Labels[labelRevision] = r.Commit
	config.Config.Labels[labelCreated] = r.Date.Format(time.RFC3339)
	config.Config.Labels[labelBase] = below.String()
	return mutate.ConfigFile(image, config)
}
