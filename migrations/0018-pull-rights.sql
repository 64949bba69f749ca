-- On whose right an image of this node is taken is part of a source from now on, and so is that it is one of this node. Of those that are there
-- nobody knows who named them: they stay what they are, on nobody's right, until someone who may names them again.
UPDATE services SET source = json_set(source, '$.pull_right', json_object('project_id', projects.id, 'user_id', NULL))
  FROM projects
  WHERE json_extract(source, '$.type') = 'external_image'
    AND substr(json_extract(source, '$.image'), 1, length(projects.name) + 1) = projects.name || '/';
UPDATE deployments SET source = json_set(source, '$.pull_right', json_object('project_id', projects.id, 'user_id', NULL))
  FROM projects
  WHERE json_extract(source, '$.type') = 'external_image' AND json_extract(source, '$.registry_id') IS NULL
    AND substr(json_extract(source, '$.image'), 1, length(projects.name) + 1) = projects.name || '/';
