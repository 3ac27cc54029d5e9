-- What applications of the `eventsourcing` library keep beside the log: their lane, how far they processed others,
-- and their snapshots.

CREATE TABLE log.applications (
    lane smallint NOT NULL,
    name text NOT NULL,
    CONSTRAINT applications_pkey PRIMARY KEY (lane),
    CONSTRAINT applications_name_key UNIQUE (name),
    CONSTRAINT applications_lane_check CHECK (lane >= 1024)
);
COMMENT ON TABLE log.applications IS 'Lanes from 1024 up belong to one library application each; those below are slice ranges.';

-- The lane of an application, given out at its first start and kept for ever.
CREATE FUNCTION log.application_lane(application_name text)
RETURNS smallint
LANGUAGE plpgsql
AS $$
DECLARE
    v_lane smallint;
BEGIN
    SELECT a.lane INTO v_lane FROM log.applications a WHERE a.name = application_name;
    IF v_lane IS NULL THEN
        -- Two first starts at once: the second waits here and then finds the row of the first.
        PERFORM pg_advisory_xact_lock(1382836333);
        INSERT INTO log.applications (lane, name)
        SELECT coalesce(max(a.lane), 1023) + 1, application_name FROM log.applications a
        ON CONFLICT (name) DO NOTHING;
        SELECT a.lane INTO STRICT v_lane FROM log.applications a WHERE a.name = application_name;
    END IF;
    RETURN v_lane;
END
$$;

CREATE TABLE log.tracking (
    tracker text NOT NULL,
    application_name text NOT NULL,
    notification_id bigint NOT NULL,
    CONSTRAINT tracking_pkey PRIMARY KEY (tracker, application_name)
);
COMMENT ON TABLE log.tracking IS 'Up to which notification of an upstream application a downstream one has processed; only ever rises.';

CREATE TABLE log.application_snapshots (
    lane smallint NOT NULL,
    version integer NOT NULL,
    stream_id uuid NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    CONSTRAINT application_snapshots_pkey PRIMARY KEY (lane, stream_id, version)
);
COMMENT ON TABLE log.application_snapshots IS 'Snapshots as the library takes them: several versions per aggregate; disposable.';

GRANT SELECT, INSERT ON log.applications, log.application_snapshots TO rollbook_writer;
GRANT SELECT, INSERT, UPDATE ON log.tracking TO rollbook_writer;
