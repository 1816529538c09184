Knight --chip TX5368AV200 build --run-config data/smallyolo_config.json
